/*
 * Netlink messages as C sees them: structs, constants and alignment macros come from the kernel's headers, none from
 * our code. Prints one line "name hex" for each; kernel-vectors.ts compiles and runs this.
 *
 * Sequence number 1, port 0. For answers the values are those that the tests expect.
 */
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

static char buffer[65536] __attribute__((aligned(NLMSG_ALIGNTO)));
static struct nlmsghdr *const header = (struct nlmsghdr *)buffer;

static void start(int type, int flags, const void *body, size_t length)
{
	memset(buffer, 0, sizeof(buffer));
	header->nlmsg_type = type;
	header->nlmsg_flags = flags;
	header->nlmsg_seq = 1;
	header->nlmsg_len = NLMSG_LENGTH(length);
	memcpy(NLMSG_DATA(header), body, length);
}

static struct rtattr *put(int type, const void *data, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)(buffer + NLMSG_ALIGN(header->nlmsg_len));
	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(length);
	if (length)
		memcpy(RTA_DATA(attribute), data, length);
	header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
	return attribute;
}

static void put_u32(int type, __u32 value) { put(type, &value, sizeof(value)); }
static void put_u8(int type, __u8 value) { put(type, &value, sizeof(value)); }
static void put_text(int type, const char *text) { put(type, text, strlen(text) + 1); }
static void put_ip(int type, int family, const char *text)
{
	unsigned char bytes[16];
	inet_pton(family, text, bytes);
	put(type, bytes, family == AF_INET ? 4 : 16);
}

static struct rtattr *nest(int type) { return put(type, NULL, 0); }
static void nest_end(struct rtattr *attribute)
{
	attribute->rta_len = (unsigned short)(buffer + header->nlmsg_len - (char *)attribute);
}

static void finish(const char *name)
{
	printf("%s ", name);
	for (unsigned int i = 0; i < header->nlmsg_len; i++)
		printf("%02x", (unsigned char)buffer[i]);
	printf("\n");
}

static void start_link(int type, int flags, int index, unsigned int ifflags, unsigned int change)
{
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = ifflags, .ifi_change = change };
	start(type, flags, &info, sizeof(info));
}

#define SET (NLM_F_REQUEST | NLM_F_ACK)

static void link_requests(void)
{
	unsigned char mac[6] = { 2, 0, 0, 0, 0, 1 };

	start_link(RTM_GETLINK, NLM_F_REQUEST, 0, 0, 0);
	put_text(IFLA_IFNAME, "eth0");
	finish("get-by-name");
	start_link(RTM_GETLINK, NLM_F_REQUEST, 0, 0, 0);
	put_text(IFLA_ALT_IFNAME, "sixteen-letters-");
	finish("get-by-alt-name");
	start_link(RTM_GETLINK, NLM_F_REQUEST, 7, 0, 0);
	finish("get-by-index");
	start_link(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, 0);
	finish("list");

	start_link(RTM_SETLINK, SET, 7, IFF_UP, IFF_UP);
	finish("up");
	start_link(RTM_SETLINK, SET, 7, 0, IFF_UP);
	finish("down");
	start_link(RTM_SETLINK, SET, 7, 0, IFF_PROMISC | IFF_ALLMULTI);
	finish("plain");
	start_link(RTM_SETLINK, SET, 7, IFF_UP, IFF_UP);
	put_u32(IFLA_NET_NS_FD, 9);
	put(IFLA_ADDRESS, mac, sizeof(mac));
	put_u32(IFLA_MTU, 1400);
	put_text(IFLA_IFNAME, "net1");
	finish("move");
	start_link(RTM_SETLINK, SET, 7, 0, 0);
	put_u32(IFLA_NET_NS_FD, 9);
	put_text(IFLA_IFNAME, "net1");
	struct rtattr *families = nest(IFLA_AF_SPEC | NLA_F_NESTED);
	struct rtattr *ipv4 = nest(AF_INET | NLA_F_NESTED);
	struct rtattr *settings = nest(IFLA_INET_CONF | NLA_F_NESTED);
	put_u32(IPV4_DEVCONF_ARP_NOTIFY, 1);
	nest_end(settings);
	nest_end(ipv4);
	nest_end(families);
	finish("move-notify");
	start_link(RTM_SETLINK, SET, 0, IFF_UP, IFF_UP);
	put_text(IFLA_IFNAME, "net1");
	finish("up-by-name");

	start_link(RTM_NEWLINKPROP, SET | NLM_F_CREATE | NLM_F_EXCL, 7, 0, 0);
	struct rtattr *list = nest(IFLA_PROP_LIST | NLA_F_NESTED);
	put_text(IFLA_ALT_IFNAME, "enp1s0f0v3");
	nest_end(list);
	finish("add-alt-name");
	start_link(RTM_DELLINKPROP, SET, 7, 0, 0);
	list = nest(IFLA_PROP_LIST | NLA_F_NESTED);
	put_text(IFLA_ALT_IFNAME, "enp1s0f0v3");
	nest_end(list);
	finish("remove-alt-name");
}

static void put_vlan(int vf, int vlan, int qos, int protocol)
{
	struct ifla_vf_vlan_info info = { .vf = vf, .vlan = vlan, .qos = qos, .vlan_proto = htons(protocol) };
	struct rtattr *list = nest(IFLA_VF_VLAN_LIST);
	put(IFLA_VF_VLAN_INFO, &info, sizeof(info));
	nest_end(list);
}

/* IFLA_VF_INFO with one attribute: struct NAME, of these members. */
#define PUT_VF(type, name, ...) \
	do { \
		struct rtattr *info = nest(IFLA_VF_INFO); \
		put(type, &(struct name){ __VA_ARGS__ }, sizeof(struct name)); \
		nest_end(info); \
	} while (0)

static void put_vf_vlan(int vf, int vlan, int qos, int protocol)
{
	struct rtattr *info = nest(IFLA_VF_INFO);
	put_vlan(vf, vlan, qos, protocol);
	nest_end(info);
}

static void vf_requests(void)
{
	struct rtattr *list;

	start_link(RTM_GETLINK, NLM_F_REQUEST, 2, 0, 0);
	put_u32(IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
	finish("get-vfs");

	start_link(RTM_SETLINK, SET, 2, 0, 0);
	list = nest(IFLA_VFINFO_LIST);
	put_vf_vlan(3, 100, 5, ETH_P_8021AD);
	PUT_VF(IFLA_VF_MAC, ifla_vf_mac, .vf = 3, .mac = { 2, 0, 0, 0, 0, 1 });
	PUT_VF(IFLA_VF_RATE, ifla_vf_rate, .vf = 3, .min_tx_rate = 10, .max_tx_rate = 200);
	PUT_VF(IFLA_VF_SPOOFCHK, ifla_vf_spoofchk, .vf = 3, .setting = 0);
	PUT_VF(IFLA_VF_TRUST, ifla_vf_trust, .vf = 3, .setting = 1);
	PUT_VF(IFLA_VF_LINK_STATE, ifla_vf_link_state, .vf = 3, .link_state = IFLA_VF_LINK_STATE_DISABLE);
	nest_end(list);
	finish("set-vf-all");

	start_link(RTM_SETLINK, SET, 2, 0, 0);
	list = nest(IFLA_VFINFO_LIST);
	put_vf_vlan(0, 0, 0, ETH_P_8021Q);
	nest_end(list);
	finish("set-vf-no-vlan");
}

/* One VF as rtnl_fill_vfinfo() of the kernel writes it. */
static void put_vf(int vf, int vlan, int qos, int protocol, int max, int min, __u32 spoof, __u32 trust, int state)
{
	struct rtattr *one = nest(IFLA_VF_INFO);
	put(IFLA_VF_MAC, &(struct ifla_vf_mac){ .vf = vf, .mac = { 2, 0, 0, 0, 1, vf } }, sizeof(struct ifla_vf_mac));
	put(IFLA_VF_BROADCAST, &(struct ifla_vf_broadcast){ .broadcast = { 255, 255, 255, 255, 255, 255 } },
	    sizeof(struct ifla_vf_broadcast));
	put(IFLA_VF_VLAN, &(struct ifla_vf_vlan){ .vf = vf, .vlan = vlan, .qos = qos }, sizeof(struct ifla_vf_vlan));
	put(IFLA_VF_RATE, &(struct ifla_vf_rate){ .vf = vf, .min_tx_rate = min, .max_tx_rate = max },
	    sizeof(struct ifla_vf_rate));
	put(IFLA_VF_TX_RATE, &(struct ifla_vf_tx_rate){ .vf = vf, .rate = max }, sizeof(struct ifla_vf_tx_rate));
	put(IFLA_VF_SPOOFCHK, &(struct ifla_vf_spoofchk){ .vf = vf, .setting = spoof }, sizeof(struct ifla_vf_spoofchk));
	put(IFLA_VF_LINK_STATE, &(struct ifla_vf_link_state){ .vf = vf, .link_state = state },
	    sizeof(struct ifla_vf_link_state));
	put(IFLA_VF_RSS_QUERY_EN, &(struct ifla_vf_rss_query_en){ .vf = vf, .setting = -1 },
	    sizeof(struct ifla_vf_rss_query_en));
	put(IFLA_VF_TRUST, &(struct ifla_vf_trust){ .vf = vf, .setting = trust }, sizeof(struct ifla_vf_trust));
	put_vlan(vf, vlan, qos, protocol);
	nest_end(one);
}

static void answers(void)
{
	unsigned char mac[6] = { 0x52, 0x54, 0, 0xaa, 0, 1 };
	struct ifinfomsg info = { .ifi_type = ARPHRD_ETHER,
				  .ifi_index = 2,
				  .ifi_flags = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST };
	struct rtattr *list;

	start(RTM_NEWLINK, 0, &info, sizeof(info));
	put_text(IFLA_IFNAME, "eth0");
	put_u32(IFLA_MTU, 9000);
	put_u8(IFLA_OPERSTATE, IF_OPER_UP);
	put_u32(IFLA_TXQLEN, 1000);
	put_u32(IFLA_GROUP, 7);
	put(IFLA_ADDRESS, mac, sizeof(mac));
	put_text(IFLA_IFALIAS, "uplink");
	list = nest(IFLA_LINKINFO);
	put(IFLA_INFO_KIND, "veth", 4);
	nest_end(list);
	list = nest(IFLA_PROP_LIST | NLA_F_NESTED);
	put_text(IFLA_ALT_IFNAME, "enp1s0f0");
	put_text(IFLA_ALT_IFNAME, "uplink-of-rack-4");
	nest_end(list);
	put_text(IFLA_PARENT_DEV_NAME, "0000:01:00.0");
	finish("link-answer");

	start(RTM_NEWLINK, 0, &info, sizeof(info));
	put_text(IFLA_IFNAME, "eth0");
	put(IFLA_ADDRESS, mac, sizeof(mac));
	put_u32(IFLA_NUM_VF, 3);
	list = nest(IFLA_VFINFO_LIST);
	put_vf(0, 0, 0, ETH_P_8021Q, 0, 0, 1, 0, IFLA_VF_LINK_STATE_AUTO);
	put_vf(1, 100, 3, ETH_P_8021AD, 200, 10, 0, 1, IFLA_VF_LINK_STATE_ENABLE);
	put_vf(2, 4094, 7, ETH_P_8021Q, 1000, 0, -1, -1, IFLA_VF_LINK_STATE_DISABLE);
	nest_end(list);
	finish("vfs-answer");

	start(RTM_NEWLINK, 0, &info, sizeof(info));
	put(IFLA_ADDRESS, mac, sizeof(mac));
	list = nest(IFLA_VFINFO_LIST);
	for (int vf = 0; vf < 200; vf++)
		put_vf(vf, vf, 0, ETH_P_8021Q, 0, 0, 1, 0, IFLA_VF_LINK_STATE_AUTO);
	nest_end(list);
	finish("200-vfs-answer");
}

static void start_address(int type, int flags, int family, int prefix, const char *ip)
{
	struct ifaddrmsg message = { .ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = 7 };
	start(type, flags, &message, sizeof(message));
	put_ip(IFA_LOCAL, family, ip);
	put_ip(IFA_ADDRESS, family, ip);
}

static void address_requests(void)
{
	int create = SET | NLM_F_CREATE | NLM_F_EXCL;

	start_address(RTM_NEWADDR, create, AF_INET, 24, "10.1.2.3");
	put_ip(IFA_BROADCAST, AF_INET, "10.1.2.255");
	finish("add-ipv4");
	start_address(RTM_NEWADDR, create, AF_INET, 31, "10.1.2.2");
	finish("add-ipv4-31");
	start_address(RTM_NEWADDR, create, AF_INET6, 64, "fd00::3");
	finish("add-ipv6");
	start_address(RTM_NEWADDR, create, AF_INET6, 64, "fd00::3");
	put_u32(IFA_FLAGS, IFA_F_NODAD);
	finish("add-ipv6-nodad");
	start_address(RTM_DELADDR, SET, AF_INET, 24, "10.1.2.3");
	finish("delete-ipv4");
}

static void start_route(int type, int flags, int family, int prefix, int table, const char *dst)
{
	int adding = type == RTM_NEWROUTE;
	struct rtmsg message = { .rtm_family = family,
				 .rtm_dst_len = prefix,
				 .rtm_table = table,
				 .rtm_protocol = adding ? RTPROT_BOOT : RTPROT_UNSPEC,
				 .rtm_scope = adding ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE,
				 .rtm_type = adding ? RTN_UNICAST : RTN_UNSPEC };
	start(type, flags, &message, sizeof(message));
	put_ip(RTA_DST, family, dst);
}

static void route_requests(void)
{
	int create = SET | NLM_F_CREATE;
	struct rtattr *metrics;

	start_route(RTM_NEWROUTE, create, AF_INET, 0, RT_TABLE_MAIN, "0.0.0.0");
	put_ip(RTA_GATEWAY, AF_INET, "10.1.2.1");
	put_u32(RTA_OIF, 7);
	finish("add-default");
	start_route(RTM_NEWROUTE, create, AF_INET6, 48, RT_TABLE_UNSPEC, "fd01::");
	put_ip(RTA_GATEWAY, AF_INET6, "fd00::1");
	put_u32(RTA_TABLE, 1000);
	put_u32(RTA_PRIORITY, 50);
	put_u32(RTA_OIF, 7);
	metrics = nest(RTA_METRICS);
	put_u32(RTAX_MTU, 1300);
	put_u32(RTAX_ADVMSS, 1240);
	nest_end(metrics);
	finish("add-full");
	start_route(RTM_DELROUTE, SET, AF_INET, 8, 100, "10.0.0.0");
	put_u32(RTA_OIF, 7);
	finish("delete");
}

int main(void)
{
	link_requests();
	vf_requests();
	answers();
	address_requests();
	route_requests();
	return 0;
}
