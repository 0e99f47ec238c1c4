/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/netlink.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include <fluxpin/log.h>

/* The kernel fills dump buffers up to 32 KiB when the reader offers that much (netlink_dump). */
#define RECEIVE_SIZE	     32768
#define RECEIVE_SECONDS	     1
#define DUMP_TRIES	     5
#define EVENT_BUFFER_SIZE    (1 << 20)
#define EVENT_DATAGRAM_LIMIT 4096

/* What a received message means for the request that is waiting. */
enum progress {
	PROGRESS_MORE,
	PROGRESS_FINISHED,
};

struct exchange {
	netlink_handler handler;
	void *context;
	uint32_t sequence;
	uint32_t port_id;
	bool is_interrupted;
	int result;
};

static int set_option(const struct netlink *netlink, int option, int value)
{
	return mnl_socket_setsockopt(netlink->socket, option, &value, sizeof(value)) < 0 ? -errno
											 : 0;
}

static int open_socket(struct netlink *netlink, int flags)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, flags | SOCK_CLOEXEC);

	*netlink = (struct netlink){ 0 };
	if (socket == NULL)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		mnl_socket_close(socket);
		return error;
	}
	netlink->socket = socket;
	/* Not the clock's whole value: only that two sockets rarely start alike. */
	netlink->sequence = (uint32_t)time(NULL);
	return 0;
}

int netlink_open(struct netlink *netlink)
{
	struct timeval limit = { .tv_sec = RECEIVE_SECONDS };
	int error = open_socket(netlink, 0);

	if (error != 0)
		return error;
	if (setsockopt(mnl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_RCVTIMEO, &limit,
		       sizeof(limit)) < 0) {
		error = -errno;
		netlink_close(netlink);
		return error;
	}
	/* Both only make error messages better, so an older kernel's refusal does not matter. */
	(void)set_option(netlink, NETLINK_EXT_ACK, 1);
	(void)set_option(netlink, NETLINK_CAP_ACK, 1);
	return 0;
}

int netlink_open_events(struct netlink *netlink, const unsigned int *groups, uint32_t count)
{
	int size = EVENT_BUFFER_SIZE;
	int error = open_socket(netlink, SOCK_NONBLOCK);

	if (error != 0)
		return error;
	/* A larger buffer means fewer lost messages; losing some is handled. */
	(void)setsockopt(mnl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size,
			 sizeof(size));
	for (uint32_t i = 0; i < count; i++) {
		error = set_option(netlink, NETLINK_ADD_MEMBERSHIP, (int)groups[i]);
		if (error != 0 && error != -EINVAL) {
			netlink_close(netlink);
			return error;
		}
	}
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket != NULL)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

struct nlmsghdr *netlink_start(struct netlink_request *request, uint16_t type, uint16_t flags,
			       size_t header_size, void *header)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(request->bytes);

	message->nlmsg_type = type;
	message->nlmsg_flags = flags;
	*(void **)header = mnl_nlmsg_put_extra_header(message, header_size);
	return message;
}

/* The error number of an NLMSG_ERROR message; logs the text that the kernel gave with it. */
static int read_error(const struct nlmsghdr *message)
{
	const struct nlmsgerr *report = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	size_t offset = sizeof(*report);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*report))
		return -EBADMSG;
	if (report->error >= 0 || (message->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
		return report->error <= 0 ? report->error : -EBADMSG;
	/* Without "capped" the kernel echoes the whole request in front of the attributes. */
	if ((message->nlmsg_flags & NLM_F_CAPPED) == 0)
		offset += mnl_nlmsg_get_payload_len(&report->msg);
	netlink_for_each_attribute(attribute, message, offset)
	{
		if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
			log_debug("netlink: %s", mnl_attr_get_str(attribute));
	}
	return report->error;
}

static enum progress take_message(struct exchange *exchange, const struct nlmsghdr *message)
{
	int error = 0;

	if (message->nlmsg_seq != exchange->sequence || message->nlmsg_pid != exchange->port_id)
		return PROGRESS_MORE;
	if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
		exchange->is_interrupted = true;
	switch (message->nlmsg_type) {
	case NLMSG_NOOP:
		return PROGRESS_MORE;
	case NLMSG_OVERRUN:
		exchange->result = -EOVERFLOW;
		return PROGRESS_FINISHED;
	case NLMSG_ERROR:
		error = read_error(message);
		break;
	case NLMSG_DONE:
		if (mnl_nlmsg_get_payload_len(message) >= sizeof(int))
			error = *(const int *)mnl_nlmsg_get_payload(message);
		break;
	default:
		/* After a failure the rest is read all the same, so that none is left behind. */
		if (exchange->handler != NULL && exchange->result == 0)
			exchange->result = exchange->handler(message, exchange->context);
		return PROGRESS_MORE;
	}
	if (exchange->result == 0 && error < 0)
		exchange->result = error;
	return PROGRESS_FINISHED;
}

/* One datagram; returns its length or negative errno. */
static ssize_t receive_datagram(const struct netlink *netlink, void *buffer, size_t size)
{
	for (;;) {
		ssize_t length = mnl_socket_recvfrom(netlink->socket, buffer, size);

		if (length >= 0)
			return length;
		if (errno == ENOSPC)
			return -EMSGSIZE; /* libmnl's word for MSG_TRUNC */
		if (errno != EINTR)
			return -errno;
	}
}

static int receive_answer(struct netlink *netlink, struct exchange *exchange)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_SIZE];

	for (;;) {
		ssize_t received = receive_datagram(netlink, buffer, sizeof(buffer));
		int left = (int)received;

		if (received == -EAGAIN)
			return -ETIMEDOUT;
		if (received < 0)
			return (int)received;
		for (const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		     mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (take_message(exchange, message) == PROGRESS_FINISHED)
				return exchange->result;
		}
	}
}

int netlink_execute(struct netlink *netlink, struct nlmsghdr *request, netlink_handler handler,
		    void *context)
{
	bool is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

	request->nlmsg_flags |= NLM_F_REQUEST;
	if (!is_dump)
		request->nlmsg_flags |= NLM_F_ACK;
	for (int i = 0; i < DUMP_TRIES; i++) {
		struct exchange exchange = {
			.handler = handler,
			.context = context,
			.sequence = ++netlink->sequence,
			.port_id = mnl_socket_get_portid(netlink->socket),
		};
		int result;

		request->nlmsg_seq = exchange.sequence;
		while (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0) {
			if (errno != EINTR)
				return -errno;
		}
		result = receive_answer(netlink, &exchange);
		if (result != 0 || !exchange.is_interrupted)
			return result;
	}
	return -EAGAIN;
}

int netlink_execute_once(struct nlmsghdr *request, netlink_handler handler, void *context)
{
	struct netlink netlink;
	int error = netlink_open(&netlink);

	if (error != 0)
		return error;
	error = netlink_execute(&netlink, request, handler, context);
	netlink_close(&netlink);
	return error;
}

int netlink_receive_events(struct netlink *netlink, netlink_handler handler, void *context,
			   bool *lost)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_SIZE];

	for (int i = 0; i < EVENT_DATAGRAM_LIMIT; i++) {
		ssize_t received = receive_datagram(netlink, buffer, sizeof(buffer));
		int left = (int)received;

		if (received == -EAGAIN)
			return 0;
		if (received == -ENOBUFS || received == -EMSGSIZE) {
			*lost = true;
			continue;
		}
		if (received < 0)
			return (int)received;
		for (const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		     mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			int error = 0;

			if (message->nlmsg_type >= NLMSG_MIN_TYPE)
				error = handler(message, context);
			if (error != 0)
				return error;
		}
	}
	return 0;
}

uint8_t netlink_family(const struct address *address)
{
	return address_is_ipv4(address) ? AF_INET : AF_INET6;
}

void netlink_put_address(struct nlmsghdr *message, uint16_t type, const struct address *address)
{
	if (address_is_ipv4(address))
		mnl_attr_put_u32(message, type, address->words_be[3]);
	else
		mnl_attr_put(message, type, sizeof(address->bytes), address->bytes);
}

bool netlink_get_address(const struct nlattr *attribute, struct address *address)
{
	switch (mnl_attr_get_payload_len(attribute)) {
	case 4:
		*address = address_from_ipv4(mnl_attr_get_u32(attribute));
		return true;
	case sizeof(address->bytes):
		memcpy(address->bytes, mnl_attr_get_payload(attribute), sizeof(address->bytes));
		return true;
	default:
		return false;
	}
}

bool netlink_get_u8(const struct nlattr *attribute, uint8_t *value)
{
	if (mnl_attr_get_payload_len(attribute) < sizeof(*value))
		return false;
	*value = mnl_attr_get_u8(attribute);
	return true;
}

bool netlink_get_u32(const struct nlattr *attribute, uint32_t *value)
{
	if (mnl_attr_get_payload_len(attribute) < sizeof(*value))
		return false;
	*value = mnl_attr_get_u32(attribute);
	return true;
}
