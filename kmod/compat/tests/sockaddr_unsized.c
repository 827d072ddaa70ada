/* struct sockaddr_unsized: not in v6.12, in v7.2 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/net.h>

int bf_probe(struct socket *socket, struct sockaddr_unsized *address);

int bf_probe(struct socket *socket, struct sockaddr_unsized *address)
{
	return kernel_bind(socket, address, 4);
}
