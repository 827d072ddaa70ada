// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uevents: see uevents.h. A message is "ACTION@DEVPATH", then KEY=VALUE words,
 * each ending in a NUL. One that others asked for by way of sysfs says so.
 */
#include <linux/err.h>
#include <linux/kobject.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include <linux/blkferry.h>

#include "compat/compat.h"
#include "disk.h"
#include "fault.h"
#include "uevents.h"

#define GROUP_KERNEL	1
#define RECEIVE_BYTES	(8 << 20)	/* thousands of messages before any is lost */
#define MESSAGE_MAX	(UEVENT_BUFFER_SIZE + 256)

/* Innermost; held by the reader while it reads. */
static DEFINE_MUTEX(listener_lock);
static struct socket *listener;		/* NULL: let go of */

struct words {
	bool is_change, is_block, is_synthetic;
	unsigned int major, minor;
};

static void read_word(struct words *words, const char *word)
{
	if (!strcmp(word, "ACTION=change"))
		words->is_change = true;
	else if (!strcmp(word, "SUBSYSTEM=block"))
		words->is_block = true;
	else if (!strncmp(word, "SYNTH_UUID=", 11))
		words->is_synthetic = true;
	else if (sscanf(word, "MAJOR=%u", &words->major) != 1)
		sscanf(word, "MINOR=%u", &words->minor);
}

/* @message ends in a NUL. */
static void handle(const char *message, size_t bytes)
{
	struct words words = {};
	size_t at;

	for (at = 0; at < bytes; at += strlen(message + at) + 1)
		read_word(&words, message + at);
	if (words.is_change && words.is_block && !words.is_synthetic)
		bf_disk_table_changed(MKDEV(words.major, words.minor));
}

static int receive(char *message)
{
	struct kvec vector = { .iov_base = message, .iov_len = MESSAGE_MAX };
	struct msghdr header = { .msg_flags = MSG_DONTWAIT };

	if (bf_fault(BF_FAULT_UEVENT_LOST))
		return -ENOBUFS;
	return kernel_recvmsg(listener, &header, &vector, 1, MESSAGE_MAX,
			      MSG_DONTWAIT);
}

/* Messages that did not fit into the socket may have been any disk's. */
static void receive_all(char *message)
{
	int bytes;

	while ((bytes = receive(message)) > 0 || bytes == -ENOBUFS) {
		if (bytes == -ENOBUFS) {
			bf_disk_table_changed(BF_ANY_DISK);
			continue;
		}
		message[bytes] = '\0';
		handle(message, bytes);
	}
}

static void read_all(void)
{
	char *message = bf_fault(BF_FAULT_UEVENT_MEMORY) ? NULL :
			kmalloc(MESSAGE_MAX + 1, GFP_NOIO);

	mutex_lock(&listener_lock);
	if (!message)
		bf_disk_table_changed(BF_ANY_DISK);
	else if (listener)
		receive_all(message);
	mutex_unlock(&listener_lock);
	kfree(message);
}

static void work(struct work_struct *work)
{
	read_all();
}

static DECLARE_WORK(reader, work);

/* In the sender's context, under locks of netlink. */
static void data_ready(struct sock *sk)
{
	schedule_work(&reader);
}

/**
 * bf_uevents_register() - listen from now on
 *
 * Context: Process, may sleep, under bf_control_mutex.
 * Return: 0 or a negative errno.
 */
int bf_uevents_register(void)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = GROUP_KERNEL,
	};
	struct socket *new;
	int ret;

	ret = bf_fault(BF_FAULT_WATCH_UEVENTS) ?:
	      sock_create_kern(&init_net, PF_NETLINK, SOCK_RAW,
			       NETLINK_KOBJECT_UEVENT, &new);
	if (ret)
		return ret;
	mutex_lock(&listener_lock);
	listener = new;
	mutex_unlock(&listener_lock);
	new->sk->sk_data_ready = data_ready;
	new->sk->sk_error_report = data_ready;	/* one that got lost on its way */
	WRITE_ONCE(new->sk->sk_rcvbuf, RECEIVE_BYTES);
	ret = bf_fault(BF_FAULT_BIND_UEVENTS) ?:
	      kernel_bind(new, (bf_sockaddr *)&address, sizeof(address)) ?:
	      /* From then on nobody but the kernel can send to it. */
	      kernel_connect(new, (bf_sockaddr *)&kernel, sizeof(kernel), 0);
	if (ret)
		bf_uevents_unregister();
	return ret;
}

/**
 * bf_uevents_unregister() - listen no more
 *
 * Releasing the socket waits for senders that are in data_ready(); what they
 * have the reader do then finds nothing.
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_uevents_unregister(void)
{
	struct socket *old;

	mutex_lock(&listener_lock);
	old = listener;
	listener = NULL;
	mutex_unlock(&listener_lock);
	sock_release(old);
	cancel_work_sync(&reader);
}

/**
 * bf_uevents_flush() - have done with what was told so far
 *
 * By the caller itself: a worker may have to wait for memory that a frozen
 * filesystem keeps.
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_uevents_flush(void)
{
	read_all();
}
