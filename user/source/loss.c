// SPDX-License-Identifier: Apache-2.0
/*
 * Loss: see loss.h. An attempt costs a packet, and while one waits bytes pile up:
 * so they follow each other closely, whatever was the matter. The jitter keeps
 * hundreds of sources from coming back as one.
 */
#include "source/loss.h"

#include <sys/random.h>

#include "lib/transport.h"

#define WAIT_MIN_NS (250 * BF_NSEC_PER_MSEC)
#define WAIT_MAX_NS (750 * BF_NSEC_PER_MSEC)
#define TELL_NS (60 * BF_NSEC_PER_SEC)
#define QUEUE_LOOK_NS (2 * BF_NSEC_PER_SEC)	/* is it our turn at the receiver? */
#define PATIENCE_NS (30 * BF_NSEC_PER_SEC)
#define TRIES_MAX 1000
#define DAMAGES_MAX 3

void bf_loss_note(struct bf_loss *loss, uint64_t epoch, uint64_t now_ns)
{
	if (loss->since_ns && loss->epoch == epoch)
		return;
	loss->wait_ns = WAIT_MIN_NS;
	loss->epoch = epoch;
	loss->since_ns = now_ns;
	loss->told_ns = 0;
}

bool bf_loss_to_tell(struct bf_loss *loss, enum bf_code code, uint64_t now_ns)
{
	if (loss->told_ns && loss->code == code &&
	    now_ns - loss->told_ns < TELL_NS)
		return false;
	loss->told_ns = now_ns;
	loss->code = code;
	return true;
}

/* Two thirds to four thirds of @ns. */
static uint64_t jittered(uint64_t ns)
{
	uint32_t draw = 0;

	if (getrandom(&draw, sizeof(draw), GRND_NONBLOCK) != sizeof(draw))
		draw = (uint32_t)bf_now_ns();
	return ns * 2 / 3 + (uint64_t)((double)ns * 2 / 3 * draw / UINT32_MAX);
}

uint64_t bf_loss_wait_ns(struct bf_loss *loss, bool queued)
{
	uint64_t wait_ns = jittered(queued ? QUEUE_LOOK_NS : loss->wait_ns);

	loss->wait_ns = loss->wait_ns * 2 < WAIT_MAX_NS ? loss->wait_ns * 2 :
							  WAIT_MAX_NS;
	return wait_ns;
}

bool bf_loss_damaged_again(struct bf_loss *loss, enum bf_code code,
			   uint64_t passes)
{
	if (code != BF_E_CORRUPT && code != BF_E_TOTALS)
		return false;
	if (loss->passes != passes)
		loss->damages = 0;
	loss->passes = passes;
	return ++loss->damages > DAMAGES_MAX;
}

bool bf_loss_patience_ends(struct bf_loss *loss, uint64_t now_ns)
{
	return ++loss->tries >= TRIES_MAX ||
	       now_ns - loss->since_ns >= PATIENCE_NS;
}
