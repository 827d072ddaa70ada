/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static tests/vm/netlink_fuzz/messages.c tests/vm/netlink_fuzz/answers.c tests/vm/netlink_fuzz/known.c */
/*
 * Fuzz of the netlink contract: threads, each with a socket of its own, send
 * commands of every kind, most of them wrong in up to three ways, while trackers
 * come and go, drains are open and the disks are written. In: a seed, how many
 * messages at most, for how many seconds at most, disks that may be tracked and
 * written. What a thread draws follows from the seed; how threads meet does not.
 * Out: the table of what was answered, and TAP. A cell that should be filled and
 * is not fails, and so does an answer that is not sound (answers.c).
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "netlink_fuzz.h"

#define NR_SENDERS	4
#define WRITE_MAX	(64 * 1024)
#define FILES_MAX	26	/* few, so that a BEGIN finds no descriptor left */

struct count {
	uint64_t sent, good, refused, silent;
};

/* What a thread counts, and the sum of all. */
struct counts {
	struct count of_kind[NR_KINDS], of_wrong[NR_WRONGS];
	uint64_t errors[NR_KINDS][ERRNO_MAX];
	uint64_t closed, doubled, joined, reconnected, dumps_left, overruns;
	struct heard heard;
};

struct storm {
	struct known *known;
	uint64_t seed;
	_Atomic int64_t messages_left;
	struct timespec end;
	_Atomic bool over;
	int disks[DISKS_MAX], writable[DISKS_MAX];
	uint64_t bytes[DISKS_MAX];
	size_t nr_disks;
	uint64_t writes;
};

struct sender {
	pthread_t thread;
	struct storm *storm;
	struct draws draws;
	struct wire wire;
	uint32_t events_group;
	struct counts counts;
};

static int test_number;
static int failures;

static void tap(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++test_number, name);
	failures += !good;
}

static void __attribute__((noreturn)) give_up(const char *what)
{
	perror(what);
	exit(2);
}

static bool time_is_up(const struct storm *storm)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > storm->end.tv_sec ||
	       (now.tv_sec == storm->end.tv_sec && now.tv_nsec >= storm->end.tv_nsec);
}

static struct draws draws_of(uint64_t seed, uint64_t thread)
{
	struct draws d = { (seed + 1) * 0x9e3779b97f4a7c15ULL ^ (thread << 32 | 1) };

	for (int i = 0; i < 8; i++)
		draw64(&d);
	return d;
}

/* --- a message and what comes of it --------------------------------------------- */

static void count(struct count *c, const struct outcome *outcome)
{
	c->sent++;
	if (!outcome->answered)
		c->silent++;
	else if (outcome->errnum)
		c->refused++;
	else
		c->good++;
}

/* Only an undistorted question says what its answer is about. */
static void learn_from_outcome(struct known *known, const struct sent *sent,
			       const struct outcome *outcome)
{
	bool ends = sent->kind == COMMIT_FINAL || sent->kind == COMMIT_RESYNCED ||
		    sent->kind == ABORT;

	if (sent->wrongs != 1u << NOTHING)
		return;
	if (sent->kind == UNTRACK && (!outcome->errnum || outcome->errnum == ENOENT))
		known_tracker_gone(known, sent->tracker.id);
	if (sent->kind == GET && outcome->errnum == ENOENT)
		known_tracker_gone(known, sent->tracker.id);
	if ((ends && !outcome->errnum) || outcome->errnum == ESTALE)
		known_drain_ended(known, sent->drain.fd, sent->drain.generation);
}

static void send_one(struct sender *s)
{
	struct known *known = s->storm->known;
	struct outcome outcome;
	struct sent sent;

	compose(&s->wire, known, &s->draws, &sent);
	if (send(s->wire.fd, s->wire.out, sent.bytes, 0) < 0)
		give_up("send");
	outcome = hear(&s->wire, known, &s->counts.heard);
	s->counts.overruns += outcome.overrun;
	/* A sound question is answered, whatever the answer. */
	if (sent.wrongs == 1u << NOTHING && !outcome.answered && !outcome.overrun) {
		printf("# no answer to %s\n", kind_names[sent.kind]);
		s->counts.heard.unsound++;
	}
	count(&s->counts.of_kind[sent.kind], &outcome);
	for (int i = 0; i < NR_WRONGS; i++)
		if (sent.wrongs & 1u << i)
			count(&s->counts.of_wrong[i], &outcome);
	if (outcome.errnum > 0 && outcome.errnum < ERRNO_MAX)
		s->counts.errors[sent.kind][outcome.errnum]++;
	learn_from_outcome(known, &sent, &outcome);
}

/* --- what consumers do besides ------------------------------------------------- */

static void close_drain(struct sender *s)
{
	struct known_drain drain;

	if (!known_drain_take(s->storm->known, &s->draws, &drain))
		return;
	close(drain.fd);
	s->counts.closed++;
}

/* A second owner of the same generation. */
static void double_drain(struct sender *s)
{
	struct known_drain drain;

	if (!known_drain_pick(s->storm->known, &s->draws, &drain))
		return;
	drain.fd = fcntl(drain.fd, F_DUPFD_CLOEXEC, 0);
	if (drain.fd < 0)
		return;
	known_drain_add(s->storm->known, &drain);
	s->counts.doubled++;
}

static void join_or_leave(struct sender *s)
{
	int what = draw(&s->draws, 2) ? NETLINK_ADD_MEMBERSHIP :
					NETLINK_DROP_MEMBERSHIP;

	s->counts.joined += !setsockopt(s->wire.fd, SOL_NETLINK, what,
					&s->events_group, sizeof(s->events_group)) &&
			    what == NETLINK_ADD_MEMBERSHIP;
}

/* Leaves a dump half read, and whatever else the old socket had to tell. */
static void reconnect(struct sender *s)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		return;
	if (bind(fd, (struct sockaddr *)&self, sizeof(self)))
		give_up("bind");
	start_message(&s->wire, s->wire.family, BLKFERRY_CMD_GET, NLM_F_DUMP);
	((struct nlmsghdr *)s->wire.out)->nlmsg_len = s->wire.len;
	s->counts.dumps_left += send(s->wire.fd, s->wire.out, s->wire.len, 0) > 0;
	close(s->wire.fd);
	s->wire.fd = fd;
	s->counts.reconnected++;
}

static void do_something_else(struct sender *s)
{
	switch (draw(&s->draws, 40)) {
	case 0: join_or_leave(s); break;
	case 1: reconnect(s); break;
	case 2: double_drain(s); break;
	case 3: case 4: case 5: close_drain(s); break;
	default: break;
	}
	if (known_drains(s->storm->known) > 10)
		close_drain(s);
}

static void *send_all(void *arg)
{
	struct sender *s = arg;
	struct storm *storm = s->storm;

	while (atomic_fetch_sub(&storm->messages_left, 1) > 0 && !time_is_up(storm)) {
		send_one(s);
		do_something_else(s);
	}
	return NULL;
}

/* --- the disks' writer -------------------------------------------------------- */

static void *write_all(void *arg)
{
	struct storm *storm = arg;
	struct draws d = draws_of(storm->seed, NR_SENDERS);
	char *data = aligned_alloc(4096, WRITE_MAX);

	if (!data)
		give_up("memory");
	memset(data, 0xa5, WRITE_MAX);
	while (!atomic_load(&storm->over)) {
		size_t n = draw(&d, storm->nr_disks);
		uint32_t len = 4096 * (1 + draw(&d, WRITE_MAX / 4096));
		uint64_t at = draw64(&d) % ((storm->bytes[n] - WRITE_MAX) / 4096) * 4096;
		uint64_t range[2] = { at, len };

		memcpy(data + draw(&d, 4096), &at, sizeof(at));
		if (draw(&d, 64) == 0 && !ioctl(storm->writable[n], BLKDISCARD, range))
			storm->writes++;
		else if (pwrite(storm->writable[n], data, len, at) == (ssize_t)len)
			storm->writes++;
	}
	free(data);
	return NULL;
}

/* --- beginning and end --------------------------------------------------------- */

static uint32_t events_group(struct wire *w)
{
	start_message(w, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	put(w, CTRL_ATTR_FAMILY_NAME, BLKFERRY_GENL_NAME, sizeof(BLKFERRY_GENL_NAME));
	must(w, CTRL_ATTR_FAMILY_ID, "the family");
	/* CTRL_ATTR_MCAST_GROUPS: a nest of nests; the family has one group. */
	const char *at = w->in + NLMSG_HDRLEN + GENL_HDRLEN;
	size_t len = ((struct nlmsghdr *)w->in)->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
	const char *groups = find_attr(at, len, CTRL_ATTR_MCAST_GROUPS);
	const void *id = groups ? find_attr(groups + NLA_HDRLEN, 64,
					    CTRL_ATTR_MCAST_GRP_ID) : NULL;

	if (!id)
		give_up("the family's events");
	return *(const uint32_t *)id;
}

static void open_disks(struct storm *storm, char **paths, size_t nr)
{
	uint64_t sectors_max = 0;

	for (size_t i = 0; i < nr; i++) {
		storm->disks[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		storm->writable[i] = open(paths[i], O_WRONLY | O_DIRECT | O_CLOEXEC);
		if (storm->disks[i] < 0 || storm->writable[i] < 0 ||
		    ioctl(storm->disks[i], BLKGETSIZE64, &storm->bytes[i]))
			give_up(paths[i]);
		if (storm->bytes[i] / 512 > sectors_max)
			sectors_max = storm->bytes[i] / 512;
	}
	storm->nr_disks = nr;
	storm->known = known_new(storm->disks, nr, sectors_max);
	if (!storm->known)
		give_up("memory");
}

static void limit_files(rlim_t nr)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		give_up("getrlimit");
	limit.rlim_cur = nr < limit.rlim_max ? nr : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		give_up("setrlimit");
}

static void run(struct storm *storm, struct sender *senders)
{
	pthread_t writer;

	for (int i = 0; i < NR_SENDERS; i++) {
		senders[i].storm = storm;
		senders[i].draws = draws_of(storm->seed, i);
		open_wire(&senders[i].wire);
		senders[i].events_group = events_group(&senders[i].wire);
	}
	limit_files(FILES_MAX);
	if (pthread_create(&writer, NULL, write_all, storm))
		give_up("thread");
	for (int i = 0; i < NR_SENDERS; i++)
		if (pthread_create(&senders[i].thread, NULL, send_all, &senders[i]))
			give_up("thread");
	for (int i = 0; i < NR_SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	atomic_store(&storm->over, true);
	pthread_join(writer, NULL);
	limit_files(1024);
}

/* Everything in struct counts is a uint64_t. */
static void sum_up(const struct sender *senders, struct counts *sum)
{
	uint64_t *to = (uint64_t *)sum;

	for (int i = 0; i < NR_SENDERS; i++) {
		const uint64_t *from = (const uint64_t *)&senders[i].counts;

		for (size_t j = 0; j < sizeof(*sum) / sizeof(*to); j++)
			to[j] += from[j];
	}
}

static void print_row(const char *name, const struct count *c)
{
	printf("# %-24s %8ju %8ju %8ju %8ju", name, (uintmax_t)c->sent,
	       (uintmax_t)c->good, (uintmax_t)c->refused, (uintmax_t)c->silent);
}

static void print_table(const struct counts *sum, const struct storm *storm)
{
	printf("# %-24s %8s %8s %8s %8s\n", "", "sent", "done", "refused", "silent");
	for (int i = 0; i < NR_KINDS; i++) {
		print_row(kind_names[i], &sum->of_kind[i]);
		for (int j = 1; j < ERRNO_MAX; j++)
			if (sum->errors[i][j])
				printf(" %s:%ju", strerrorname_np(j),
				       (uintmax_t)sum->errors[i][j]);
		printf("\n");
	}
	for (int i = 0; i < NR_WRONGS; i++) {
		print_row(wrong_names[i], &sum->of_wrong[i]);
		printf("\n");
	}
	printf("# writes %ju events %ju closed %ju doubled %ju joined %ju "
	       "reconnected %ju, dumps not read %ju, overruns %ju\n",
	       (uintmax_t)storm->writes, (uintmax_t)sum->heard.events,
	       (uintmax_t)sum->closed, (uintmax_t)sum->doubled,
	       (uintmax_t)sum->joined, (uintmax_t)sum->reconnected,
	       (uintmax_t)sum->dumps_left, (uintmax_t)sum->overruns);
}

static void judge(const struct counts *sum, const struct storm *storm)
{
	bool each = true, wrongs = true;

	for (int i = 0; i < NR_KINDS; i++)
		each &= sum->of_kind[i].good && sum->of_kind[i].refused;
	for (int i = 0; i < NR_WRONGS; i++)
		wrongs &= sum->of_wrong[i].sent > 0;
	tap(each, "every command succeeded and was refused");
	tap(wrongs, "messages were wrong in every way");
	tap(storm->writes && sum->heard.events && sum->closed && sum->doubled &&
	    sum->joined && sum->dumps_left,
	    "writes, events, closed and doubled drains, dumps that nobody reads");
	tap(!sum->heard.unsound, "every answer is sound");
}

/* Descriptors of the module that this process has, after it closed those it knows. */
static unsigned int drains_left(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *at;
	unsigned int nr = 0;
	char target[64];

	if (!dir)
		give_up("/proc/self/fd");
	while ((at = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), at->d_name, target,
					 sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		nr += strstr(target, "[blkferry-drain]") != NULL;
	}
	closedir(dir);
	return nr;
}

static int untrack(struct wire *w, uint32_t id)
{
	start_message(w, w->family, BLKFERRY_CMD_UNTRACK, 0);
	put(w, A(TRACKER_ID), &id, sizeof(id));
	return exchange(w);
}

/* Return: how many trackers a dump shows; the id of the first. */
static unsigned int trackers_left(struct wire *w, uint32_t *id)
{
	unsigned int nr = 0;
	ssize_t got;

	start_message(w, w->family, BLKFERRY_CMD_GET, NLM_F_DUMP);
	((struct nlmsghdr *)w->out)->nlmsg_len = w->len;
	if (send(w->fd, w->out, w->len, 0) < 0)
		give_up("dump");
	while ((got = recv(w->fd, w->in, sizeof(w->in), MSG_DONTWAIT)) > 0) {
		for (struct nlmsghdr *h = (void *)w->in; NLMSG_OK(h, (size_t)got);
		     h = NLMSG_NEXT(h, got)) {
			const uint32_t *found = h->nlmsg_type != w->family ? NULL :
				find_attr((char *)h + NLMSG_HDRLEN + GENL_HDRLEN,
					  h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN,
					  A(TRACKER_ID));

			if (found && !nr++)
				*id = *found;
		}
	}
	return nr;
}

static void clean_up(struct storm *storm, struct wire *w)
{
	struct draws d = draws_of(storm->seed, 99);
	struct known_drain drain;
	unsigned int nr = 0;
	uint32_t id;

	while (known_drain_take(storm->known, &d, &drain))
		close(drain.fd);
	tap(!drains_left(), "no descriptor is left that no answer told of");
	open_wire(w);
	while (trackers_left(w, &id) && !untrack(w, id))
		nr++;
	printf("# %u trackers were left\n", nr);
	tap(nr && !trackers_left(w, &id), "every tracker can be deleted");
}

int main(int argc, char **argv)
{
	static struct sender senders[NR_SENDERS];
	static struct wire wire;
	static struct counts sum;
	static struct storm storm;

	if (argc < 5 || argc > 4 + DISKS_MAX) {
		fprintf(stderr, "usage: netlink_fuzz SEED MESSAGES SECONDS DISK...\n");
		return 2;
	}
	storm.seed = strtoull(argv[1], NULL, 0);
	storm.messages_left = strtoll(argv[2], NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &storm.end);
	storm.end.tv_sec += atoi(argv[3]);
	open_disks(&storm, argv + 4, argc - 4);
	run(&storm, senders);
	sum_up(senders, &sum);
	printf("# seed %ju%s\n", (uintmax_t)storm.seed,
	       storm.messages_left > 0 ? ", ended by time" : "");
	print_table(&sum, &storm);
	judge(&sum, &storm);
	clean_up(&storm, &wire);
	printf("1..%d\n", test_number);
	return failures ? 1 : 0;
}
