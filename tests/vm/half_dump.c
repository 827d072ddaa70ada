/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * A dump of trackers that is left lying: asks for it, reads the first part, says
 * "begun", and reads the rest when its standard input ends. Out: how many trackers
 * came in the first part and in all; status 1 if the dump did not end well.
 */
#include <unistd.h>

#include "raw_netlink.h"

/* Return: trackers in one part; *errnum is set where the dump ends. */
static unsigned int read_part(struct wire *w, int *errnum)
{
	ssize_t got = recv(w->fd, w->in, sizeof(w->in), 0);
	unsigned int nr = 0;

	if (got < 0)
		*errnum = errno;
	for (struct nlmsghdr *h = (struct nlmsghdr *)w->in;
	     got > 0 && NLMSG_OK(h, (size_t)got); h = NLMSG_NEXT(h, got)) {
		nr += h->nlmsg_type == w->family;
		if (h->nlmsg_type == NLMSG_DONE)
			*errnum = -*(int *)NLMSG_DATA(h);
		if (h->nlmsg_type == NLMSG_ERROR)
			*errnum = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
	}
	return nr;
}

int main(void)
{
	static struct wire w;
	unsigned int first, nr;
	int errnum = -1;
	char c;

	open_wire(&w);
	start_message(&w, w.family, BLKFERRY_CMD_GET, NLM_F_DUMP);
	((struct nlmsghdr *)w.out)->nlmsg_len = w.len;
	if (send(w.fd, w.out, w.len, 0) < 0)
		return 2;
	first = nr = read_part(&w, &errnum);
	if (errnum >= 0)
		return 2;	/* nothing is left to be read */
	printf("begun %u\n", first);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	while (errnum < 0)
		nr += read_part(&w, &errnum);
	printf("ended %u errno %d\n", nr, errnum);
	return errnum ? 1 : 0;
}
