/* SPDX-License-Identifier: BSD-2-Clause */
/* The one piece of traffic control that fluxpin needs: all that arrives here arrives there. */
#include <fluxpin/interface.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <fluxpin/netlink.h>

static struct nlmsghdr *start_change(struct netlink_request *request, uint16_t type, int index,
				     struct tcmsg **header)
{
	struct nlmsghdr *message =
		netlink_start(request, type, NLM_F_CREATE | NLM_F_EXCL, sizeof(**header), header);

	(*header)->tcm_family = AF_UNSPEC;
	(*header)->tcm_ifindex = index;
	return message;
}

static int add_clsact(struct netlink *netlink, int index)
{
	struct netlink_request request;
	struct tcmsg *header;
	struct nlmsghdr *message = start_change(&request, RTM_NEWQDISC, index, &header);

	header->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	header->tcm_parent = TC_H_CLSACT;
	mnl_attr_put_strz(message, TCA_KIND, "clsact");
	return netlink_execute(netlink, message, NULL, NULL);
}

static void put_redirect(struct nlmsghdr *message, int to)
{
	const struct tc_mirred parameters = {
		.action = TC_ACT_STOLEN,
		.eaction = TCA_INGRESS_REDIR,
		.ifindex = (uint32_t)to,
	};
	struct nlattr *actions = mnl_attr_nest_start(message, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(message, 1);
	struct nlattr *options;

	mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
	mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof(parameters), &parameters);
	mnl_attr_nest_end(message, options);
	mnl_attr_nest_end(message, first);
	mnl_attr_nest_end(message, actions);
}

static int add_filter(struct netlink *netlink, int from, int to)
{
	/*
	 * No keys at all, where tc(8) can only write "match u32 0 0": a key reads four bytes
	 * behind the Ethernet header, so it does not match a frame that is shorter.
	 */
	const struct tc_u32_sel everything = { .flags = TC_U32_TERMINAL };
	struct netlink_request request;
	struct tcmsg *header;
	struct nlmsghdr *message = start_change(&request, RTM_NEWTFILTER, from, &header);
	struct nlattr *options;

	header->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	header->tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(message, TCA_KIND, "u32");
	options = mnl_attr_nest_start(message, TCA_OPTIONS);
	mnl_attr_put(message, TCA_U32_SEL, sizeof(everything), &everything);
	put_redirect(message, to);
	mnl_attr_nest_end(message, options);
	return netlink_execute(netlink, message, NULL, NULL);
}

int interface_redirect_ingress(int from, int to)
{
	struct netlink netlink;
	int error = netlink_open(&netlink);

	if (error != 0)
		return error;
	error = add_clsact(&netlink, from);
	if (error == 0)
		error = add_filter(&netlink, from, to);
	netlink_close(&netlink);
	return error;
}
