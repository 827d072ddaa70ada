// SPDX-License-Identifier: Apache-2.0
/*
 * Frames: bytes flow in from a transport or from memory, whole frames whose
 * length is within their type's limit flow out; payloads flow in, framed bytes
 * flow out. Keeps RULE 6: the header is checked before room for the payload
 * is made, so a peer can never make us buffer more than the largest message.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/frame.h"

#define TO_SOURCE (1u << BF_ROLE_SOURCE)
#define TO_TARGET (1u << BF_ROLE_TARGET)

#define DATA_MAX (sizeof(struct wire_data) + \
		  WIRE_EXTENTS_MAX * sizeof(struct wire_extent) + WIRE_RAW_MAX)

static const struct message {
	const char *name;
	uint32_t receivers;		/* TO_SOURCE, TO_TARGET */
	uint32_t minimum, limit;	/* bytes of payload */
	bool of_disk;			/* header.disk names one, else it is 0 */
} messages[] = {
	[WIRE_HELLO] = { "HELLO", TO_TARGET, sizeof(struct wire_hello),
			 sizeof(struct wire_hello), false },
	[WIRE_WELCOME] = { "WELCOME", TO_SOURCE, sizeof(struct wire_welcome),
			   sizeof(struct wire_welcome), false },
	[WIRE_OPEN] = { "OPEN", TO_TARGET, sizeof(struct wire_open),
			sizeof(struct wire_open), true },
	[WIRE_OPENED] = { "OPENED", TO_SOURCE, sizeof(struct wire_opened),
			  sizeof(struct wire_opened), true },
	[WIRE_CLAIM] = { "CLAIM", TO_TARGET, sizeof(struct wire_claim),
			 sizeof(struct wire_claim), false },
	[WIRE_CLAIMED] = { "CLAIMED", TO_SOURCE, sizeof(struct wire_claimed),
			   sizeof(struct wire_claimed) + WIRE_DISKS_MAX * 16,
			   false },
	[WIRE_BEGIN] = { "BEGIN", TO_TARGET, sizeof(struct wire_begin),
			 sizeof(struct wire_begin), true },
	[WIRE_DATA] = { "DATA", TO_TARGET,
			sizeof(struct wire_data) + sizeof(struct wire_extent),
			DATA_MAX, true },
	[WIRE_BARRIER] = { "BARRIER", TO_TARGET, sizeof(struct wire_barrier),
			   sizeof(struct wire_barrier) +
			   WIRE_DISKS_MAX * sizeof(struct wire_progress), false },
	[WIRE_DURABLE] = { "DURABLE", TO_SOURCE, sizeof(struct wire_durable),
			   sizeof(struct wire_durable) +
			   WIRE_DISKS_MAX * sizeof(struct wire_totals), false },
	[WIRE_CUTOVER] = { "CUTOVER", TO_TARGET, sizeof(struct wire_cutover),
			   sizeof(struct wire_cutover), false },
	[WIRE_CUTOVER_DONE] = { "CUTOVER_DONE", TO_SOURCE,
				sizeof(struct wire_cutover_done),
				sizeof(struct wire_cutover_done), false },
	[WIRE_DIGEST] = { "DIGEST", TO_TARGET, sizeof(struct wire_digest),
			  sizeof(struct wire_digest), true },
	[WIRE_DIGESTS] = { "DIGESTS", TO_SOURCE, sizeof(struct wire_digests),
			   sizeof(struct wire_digests) +
			   WIRE_DIGESTS_MAX * WIRE_DIGEST_BYTES, true },
	[WIRE_PING] = { "PING", TO_SOURCE | TO_TARGET, sizeof(struct wire_ping),
			sizeof(struct wire_ping), false },
	[WIRE_PONG] = { "PONG", TO_SOURCE | TO_TARGET, sizeof(struct wire_ping),
			sizeof(struct wire_ping), false },
	[WIRE_ERROR] = { "ERROR", TO_SOURCE | TO_TARGET,
			 sizeof(struct wire_error),
			 sizeof(struct wire_error) + WIRE_ERROR_TEXT_MAX, false },
	[WIRE_ATTACH] = { "ATTACH", TO_TARGET, sizeof(struct wire_attach),
			  sizeof(struct wire_attach), false },
	[WIRE_ATTACHED] = { "ATTACHED", TO_SOURCE, sizeof(struct wire_attached),
			    sizeof(struct wire_attached), false },
	[WIRE_SYNC] = { "SYNC", TO_TARGET, sizeof(struct wire_sync),
			sizeof(struct wire_sync), false },
	[WIRE_MEASURE] = { "MEASURE", TO_TARGET, sizeof(struct wire_measure),
			   sizeof(struct wire_measure) + WIRE_MEASURE_MAX,
			   false },
	[WIRE_MEASURED] = { "MEASURED", TO_SOURCE,
			    sizeof(struct wire_measured),
			    sizeof(struct wire_measured), false },
	[WIRE_REPORT] = { "REPORT", TO_TARGET, sizeof(struct wire_report) + 2,
			  sizeof(struct wire_report) + WIRE_REPORT_TEXT_MAX,
			  false },
	[WIRE_REPORTED] = { "REPORTED", TO_SOURCE,
			    sizeof(struct wire_reported),
			    sizeof(struct wire_reported), false },
};

static const struct message *message_of(uint16_t type)
{
	if (type >= sizeof(messages) / sizeof(messages[0]))
		return NULL;
	return messages[type].name ? &messages[type] : NULL;
}

uint32_t bf_frame_limit(enum bf_role receiver, uint16_t type)
{
	const struct message *message = message_of(type);

	if (!message || !(message->receivers & (1u << receiver)))
		return 0;
	return message->limit;
}

uint32_t bf_frame_minimum(uint16_t type)
{
	const struct message *message = message_of(type);

	return message ? message->minimum : 0;
}

const char *bf_frame_name(uint16_t type)
{
	const struct message *message = message_of(type);

	return message ? message->name : "a frame of unknown type";
}

void bf_frame_reader_init(struct bf_frame_reader *reader, enum bf_role role)
{
	*reader = (struct bf_frame_reader){ .role = role };
}

void bf_frame_reader_free(struct bf_frame_reader *reader)
{
	free(reader->payload);
	bf_frame_reader_init(reader, reader->role);
}

_Static_assert(sizeof(struct wire_data) + WIRE_EXTENTS_MAX *
	       sizeof(struct wire_extent) <= BF_FRAME_BLOCKS_AT,
	       "the longest head fits in front of the blocks");
_Static_assert(BF_FRAME_BLOCKS_AT - sizeof(struct wire_data) + DATA_MAX <=
	       BF_FRAME_ROOM_BYTES, "the longest frame fits behind a short head");

void bf_frame_reader_lend(struct bf_frame_reader *reader, uint8_t *room)
{
	reader->room = room;
}

bool bf_frame_reader_idle(const struct bf_frame_reader *reader)
{
	return reader->header_have == 0;
}

static int check_header(const struct bf_frame *frame, enum bf_role role,
			struct bf_error *err)
{
	const struct message *message = message_of(frame->type);
	uint32_t limit = bf_frame_limit(role, frame->type);

	if (!message)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "frame of unknown type %u: the peer does not speak blkferry or is of a later version",
			       frame->type);
	if (!limit)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "%s came from the wrong side: are two sources or two receivers connected with each other?",
			       message->name);
	if (frame->length < message->minimum || frame->length > limit)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "%s of %u bytes, allowed are %u to %u: the stream is damaged or the peer is faulty",
			       message->name, frame->length, message->minimum,
			       limit);
	if (frame->disk >= (message->of_disk ? WIRE_DISKS_MAX : 1))
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "%s names disk %u, allowed are 0 to %u",
			       message->name, frame->disk,
			       message->of_disk ? WIRE_DISKS_MAX - 1 : 0);
	return 0;
}

static int make_room(struct bf_frame_reader *reader, size_t bytes,
		     struct bf_error *err)
{
	uint8_t *payload;

	if (bytes <= reader->payload_size)
		return 0;
	payload = realloc(reader->payload, bytes);
	if (!payload)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "no memory for a frame of %zu bytes", bytes);
	reader->payload = payload;
	reader->payload_size = bytes;
	return 0;
}

static bool is_lent(const struct bf_frame_reader *reader)
{
	return reader->room && reader->frame.type == WIRE_DATA;
}

/* The header is whole: judge it before a byte of the payload is taken. */
static int begin_payload(struct bf_frame_reader *reader, struct bf_error *err)
{
	struct wire_header header;
	int ret;

	memcpy(&header, reader->header, sizeof(header));
	reader->frame = (struct bf_frame){
		.type = le16toh(header.type),
		.disk = le16toh(header.disk),
		.length = le32toh(header.length),
	};
	ret = check_header(&reader->frame, reader->role, err);
	if (ret)
		return ret;
	reader->payload_have = 0;
	if (is_lent(reader)) {
		reader->frame.payload = NULL;
		return 0;
	}
	ret = make_room(reader, reader->frame.length, err);
	reader->frame.payload = reader->payload;
	return ret;
}

/*
 * The head of a DATA frame has come: the blocks behind its table are to start
 * at BF_FRAME_BLOCKS_AT. A count that no frame can have is judged later, by the
 * validator; here it only must not lead out of the room.
 */
static void place_data(struct bf_frame_reader *reader)
{
	size_t table_bytes, table_max;
	struct wire_data head;

	memcpy(&head, reader->data_head, sizeof(head));
	table_bytes = ((size_t)le16toh(head.nr_data) + le16toh(head.nr_zero)) *
		      sizeof(struct wire_extent);
	table_max = WIRE_EXTENTS_MAX * sizeof(struct wire_extent);
	if (table_bytes > table_max)
		table_bytes = table_max;
	reader->frame.payload = reader->room + BF_FRAME_BLOCKS_AT - table_bytes -
				sizeof(head);
	memcpy(reader->frame.payload, &head, sizeof(head));
}

/* Where the next bytes belong and how many; 0: the frame is whole. */
static size_t next_room(struct bf_frame_reader *reader, uint8_t **room)
{
	if (reader->header_have < sizeof(reader->header)) {
		*room = reader->header + reader->header_have;
		return sizeof(reader->header) - reader->header_have;
	}
	if (!reader->frame.payload) {
		*room = reader->data_head + reader->payload_have;
		return sizeof(reader->data_head) - reader->payload_have;
	}
	*room = reader->frame.payload + reader->payload_have;
	return reader->frame.length - reader->payload_have;
}

static int took(struct bf_frame_reader *reader, size_t bytes,
		struct bf_error *err)
{
	int ret;

	if (reader->header_have == sizeof(reader->header)) {
		reader->payload_have += bytes;
		if (!reader->frame.payload &&
		    reader->payload_have == sizeof(reader->data_head))
			place_data(reader);
		return 0;
	}
	reader->header_have += bytes;
	if (reader->header_have < sizeof(reader->header))
		return 0;
	ret = begin_payload(reader, err);
	if (ret)		/* a caller that reads on must not find it */
		reader->header_have = 0;
	return ret;
}

static bool whole(const struct bf_frame_reader *reader)
{
	return reader->header_have == sizeof(reader->header) &&
	       reader->payload_have == reader->frame.length;
}

static int hand_out(struct bf_frame_reader *reader, struct bf_frame **frame)
{
	reader->header_have = 0;
	reader->payload_have = 0;
	*frame = &reader->frame;
	return 1;
}

static int stream_ended(const struct bf_frame_reader *reader,
			struct bf_error *err)
{
	if (bf_frame_reader_idle(reader))
		return 0;
	return bf_fail(err, BF_E_CONNECTION, ECONNRESET,
		       "the peer closed the connection in the middle of a frame");
}

int bf_frame_read(struct bf_frame_reader *reader, struct bf_transport *transport,
		  struct bf_frame **frame, struct bf_error *err)
{
	uint8_t *room;
	ssize_t got;
	size_t want;
	int ret;

	while (!whole(reader)) {
		want = next_room(reader, &room);
		got = bf_transport_read(transport, room, want);
		if (got == -EAGAIN)
			return -EAGAIN;
		if (got == 0)
			return stream_ended(reader, err);
		if (got < 0)
			return bf_fail(err, BF_E_CONNECTION, (int)-got,
				       "the connection was lost: %s",
				       strerror((int)-got));
		ret = took(reader, (size_t)got, err);
		if (ret)
			return ret;
	}
	return hand_out(reader, frame);
}

int bf_frame_feed(struct bf_frame_reader *reader, const uint8_t **data,
		  size_t *bytes, struct bf_frame **frame, struct bf_error *err)
{
	uint8_t *room;
	size_t want;
	int ret;

	while (!whole(reader)) {
		if (!*bytes)
			return -EAGAIN;
		want = next_room(reader, &room);
		if (want > *bytes)
			want = *bytes;
		memcpy(room, *data, want);
		*data += want;
		*bytes -= want;
		ret = took(reader, want, err);
		if (ret)
			return ret;
	}
	return hand_out(reader, frame);
}

void bf_frame_header(struct wire_header *header, uint16_t type, uint16_t disk,
		     uint32_t length)
{
	header->length = htole32(length);
	header->type = htole16(type);
	header->disk = htole16(disk);
}

/* Small frames go out in one write, so that they become one TLS record. */
#define JOINED_MAX 8192

int bf_frame_send(struct bf_transport *transport, uint16_t type, uint16_t disk,
		  const void *payload, uint32_t length, uint64_t deadline_ns,
		  struct bf_error *err)
{
	uint8_t joined[sizeof(struct wire_header) + JOINED_MAX];
	struct wire_header header;
	int ret;

	bf_frame_header(&header, type, disk, length);
	memcpy(joined, &header, sizeof(header));
	if (length <= JOINED_MAX) {
		memcpy(joined + sizeof(header), payload, length);
		return bf_transport_write_all(transport, joined,
					      sizeof(header) + length,
					      deadline_ns, err);
	}
	ret = bf_transport_write_all(transport, &header, sizeof(header),
				     deadline_ns, err);
	if (ret)
		return ret;
	return bf_transport_write_all(transport, payload, length, deadline_ns,
				      err);
}

int bf_frame_send_error(struct bf_transport *transport,
			const struct bf_error *what, uint64_t deadline_ns)
{
	struct {
		struct wire_error head;
		char text[WIRE_ERROR_TEXT_MAX];
	} payload;
	size_t text_bytes = strnlen(what->text, sizeof(what->text));

	if (text_bytes > sizeof(payload.text))
		text_bytes = sizeof(payload.text);
	payload.head = (struct wire_error){
		.code = what->code,
		.text_bytes = (uint16_t)text_bytes,
	};
	bf_wire_swap_error(&payload.head);
	memcpy(payload.text, what->text, text_bytes);
	return bf_frame_send(transport, WIRE_ERROR, 0, &payload,
			     (uint32_t)(sizeof(payload.head) + text_bytes),
			     deadline_ns, NULL);
}
