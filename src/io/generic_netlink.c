/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/generic_netlink.h>

#include <errno.h>
#include <string.h>

static int open_generic(struct netlink *netlink)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);

	if (socket == NULL)
		return -errno;
	*netlink = (struct netlink){ .socket = socket };
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		netlink_close(netlink);
		return error;
	}
	return 0;
}

static struct nlmsghdr *start(struct netlink_request *request, uint16_t type, uint16_t flags,
			      uint8_t command)
{
	struct genlmsghdr *header;
	struct nlmsghdr *message = netlink_start(request, type, flags, sizeof(*header), &header);

	header->cmd = command;
	header->version = 1;
	return message;
}

static int take_family(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute;
	uint16_t *family = context;

	netlink_for_each_attribute(attribute, message, GENERIC_NETLINK_HEADER)
	{
		if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*family))
			memcpy(family, mnl_attr_get_payload(attribute), sizeof(*family));
	}
	return 0;
}

static int find_family(struct netlink *netlink, const char *name, uint16_t *family)
{
	struct netlink_request request;
	struct nlmsghdr *message = start(&request, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
	int error;

	*family = 0;
	mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, name);
	error = netlink_execute(netlink, message, take_family, family);
	return error == -ENOENT || (error == 0 && *family == 0) ? -EOPNOTSUPP : error;
}

int generic_netlink_ask(const char *name, uint8_t command, uint16_t flags, uint16_t number_type,
			uint32_t number, netlink_handler handler, void *context)
{
	struct netlink_request request;
	struct nlmsghdr *message;
	struct netlink netlink;
	uint16_t family;
	int error = open_generic(&netlink);

	if (error != 0)
		return error;
	error = find_family(&netlink, name, &family);
	if (error == 0) {
		message = start(&request, family, flags, command);
		if (number_type != 0)
			mnl_attr_put_u32(message, number_type, number);
		error = netlink_execute(&netlink, message, handler, context);
	}
	netlink_close(&netlink);
	return error;
}
