/*
 * The floor under the times of sriov and rdma: puts a VF or an RDMA device into a pod and takes it back with nothing
 * but the messages that the kernel needs for it.
 *
 *   floor sriov-add NETNS PF VF LINK NAME MTU VLAN TRUST ADDRESS PREFIX BROADCAST GATEWAY
 *   floor sriov-del NETNS PF VF LINK NAME MTU VLAN TRUST
 *   floor rdma-add NETNS DEVICE
 *   floor rdma-del NETNS DEVICE
 *
 * PF, LINK and DEVICE are indexes: of the PF's link, of the VF's (the same on the host and in the pod) and of the RDMA
 * device.
 *
 * In it, because the configuration asks for it:
 *   sriov-add   VLAN and trust of the VF through its PF; move, name, MTU and up in one message; the address; the
 *               default route over GATEWAY; the wait for a carrier, on the plugin's condition (IFF_UP and
 *               IFF_RUNNING, at most a second)
 *   sriov-del   VLAN and trust through the PF; move, old name and old MTU in one message
 *   rdma-*      the move
 *
 * Not in it, because it could be done without: finding the device (all comes as arguments), who has it (locks, markers
 * and records with their fsync), what it was and has become (reading settings and links), the choice of the address
 * (IPAM), the plugin's sysctls and announcements, a result. What is left is the time of a process, of the kernel and of
 * the card.
 *
 * Messages to one socket go out in one send(2) where no answer is needed in between, and only the last is acknowledged,
 * since a refusal is answered in any case. Any refusal is the end, with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <rdma/rdma_netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CARRIER_DEADLINE_MS = 1000, LOOK_AGAIN_MS = 250 };

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- namespaces and sockets */

static int open_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) fail(path);
	return fd;
}

static void enter(int netns)
{
	if (setns(netns, CLONE_NEWNET) < 0) fail("setns");
}

static int open_socket(int protocol, unsigned int groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0) fail("socket");
	if (groups != 0 && bind(fd, (void *)&address, sizeof address) < 0) fail("bind");
	return fd;
}

/* --- messages */

static char requests[4096];
static size_t used;
static struct nlmsghdr *current;

static void *reserve(size_t size)
{
	void *at = requests + used;
	used += NLMSG_ALIGN(size);
	return at;
}

/* Begins a request, with room for the struct that follows its header. */
static void *begin(int type, int flags, size_t size)
{
	current = reserve(NLMSG_HDRLEN);
	current->nlmsg_type = type;
	current->nlmsg_flags = NLM_F_REQUEST | flags;
	return reserve(size);
}

static void end(void)
{
	current->nlmsg_len = requests + used - (char *)current;
}

static struct nlattr *open_attribute(int type)
{
	struct nlattr *attribute = reserve(NLA_HDRLEN);
	attribute->nla_type = type;
	return attribute;
}

static void close_attribute(struct nlattr *attribute)
{
	attribute->nla_len = requests + used - (char *)attribute;
}

static void add(int type, const void *data, size_t size)
{
	struct nlattr *attribute = open_attribute(type);
	memcpy(reserve(size), data, size);
	attribute->nla_len = NLA_HDRLEN + size;
}

static void add_number(int type, unsigned int value)
{
	add(type, &value, sizeof value);
}

/* Sends what has been written and gives the next answer, an error of any of the requests first. */
static struct nlmsghdr *ask(int fd)
{
	static char answer[32768];
	struct nlmsghdr *header = (void *)answer;
	if (send(fd, requests, used, 0) < 0) fail("send");
	memset(requests, 0, used);
	used = 0;
	if (recv(fd, answer, sizeof answer, 0) < 0) fail("recv");
	if (header->nlmsg_type == NLMSG_ERROR) {
		errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
		if (errno != 0) fail("the kernel refused a request");
	}
	return header;
}

/* --- sriov */

struct vf {
	unsigned int pf, number, link, mtu, vlan, trust;
	const char *name;
};

/* `ip link set PF vf NUMBER vlan VLAN trust on|off` */
static void write_settings(const struct vf *vf)
{
	struct ifla_vf_vlan_info vlan = {.vf = vf->number, .vlan = vf->vlan, .vlan_proto = htons(0x8100)};
	struct ifla_vf_trust trust = {.vf = vf->number, .setting = vf->trust};
	struct ifinfomsg *link = begin(RTM_SETLINK, 0, sizeof *link);
	link->ifi_index = vf->pf;
	struct nlattr *list = open_attribute(IFLA_VFINFO_LIST);
	struct nlattr *info = open_attribute(IFLA_VF_INFO);
	struct nlattr *vlans = open_attribute(IFLA_VF_VLAN_LIST);
	add(IFLA_VF_VLAN_INFO, &vlan, sizeof vlan);
	close_attribute(vlans);
	close_attribute(info);
	info = open_attribute(IFLA_VF_INFO);
	add(IFLA_VF_TRUST, &trust, sizeof trust);
	close_attribute(info);
	close_attribute(list);
	end();
}

/* `ip link set LINK netns NETNS name NAME mtu MTU [up]` */
static void write_move(const struct vf *vf, int netns, unsigned int up)
{
	struct ifinfomsg *link = begin(RTM_SETLINK, NLM_F_ACK, sizeof *link);
	link->ifi_index = vf->link;
	link->ifi_flags = link->ifi_change = up;
	add_number(IFLA_NET_NS_FD, netns);
	add_number(IFLA_MTU, vf->mtu);
	add(IFLA_IFNAME, vf->name, strlen(vf->name) + 1);
	end();
}

static void write_address(unsigned int link, const char *local, int prefix, const char *broadcast)
{
	struct ifaddrmsg *message = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
	struct in_addr address = {inet_addr(local)}, last = {inet_addr(broadcast)};
	message->ifa_family = AF_INET;
	message->ifa_prefixlen = prefix;
	message->ifa_index = link;
	add(IFA_LOCAL, &address, sizeof address);
	add(IFA_ADDRESS, &address, sizeof address);
	add(IFA_BROADCAST, &last, sizeof last);
	end();
}

static void write_default_route(unsigned int link, const char *gateway)
{
	struct rtmsg *message = begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, sizeof *message);
	struct in_addr address = {inet_addr(gateway)};
	message->rtm_family = AF_INET;
	message->rtm_table = RT_TABLE_MAIN;
	message->rtm_protocol = RTPROT_BOOT;
	message->rtm_type = RTN_UNICAST;
	add(RTA_GATEWAY, &address, sizeof address);
	add_number(RTA_OIF, link);
	end();
}

static int has_carrier(int fd, unsigned int link)
{
	const unsigned int wanted = IFF_UP | IFF_RUNNING;
	struct ifinfomsg *message = begin(RTM_GETLINK, 0, sizeof *message);
	message->ifi_index = link;
	end();
	message = NLMSG_DATA(ask(fd));
	return (message->ifi_flags & wanted) == wanted;
}

static long long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* We are in the pod. */
static void wait_for_carrier(int fd, unsigned int link)
{
	if (has_carrier(fd, link)) return;
	static char event[32768];
	long long deadline = milliseconds() + CARRIER_DEADLINE_MS;
	struct pollfd events = {.fd = open_socket(NETLINK_ROUTE, RTMGRP_LINK), .events = POLLIN};
	while (!has_carrier(fd, link)) {
		long long left = deadline - milliseconds();
		if (left <= 0) return;
		if (poll(&events, 1, left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS) < 0) fail("poll");
		while (recv(events.fd, event, sizeof event, MSG_DONTWAIT) >= 0);
	}
}

static unsigned int number(const char *text)
{
	return strtoul(text, NULL, 10);
}

static struct vf read_vf(char **arguments)
{
	return (struct vf){
		.pf = number(arguments[0]),
		.number = number(arguments[1]),
		.link = number(arguments[2]),
		.name = arguments[3],
		.mtu = number(arguments[4]),
		.vlan = number(arguments[5]),
		.trust = number(arguments[6]),
	};
}

static void add_sriov(int netns, char **arguments)
{
	struct vf vf = read_vf(arguments);
	write_settings(&vf);
	write_move(&vf, netns, IFF_UP);
	ask(open_socket(NETLINK_ROUTE, 0));
	enter(netns);
	int pod = open_socket(NETLINK_ROUTE, 0);
	write_address(vf.link, arguments[7], number(arguments[8]), arguments[9]);
	write_default_route(vf.link, arguments[10]);
	ask(pod);
	wait_for_carrier(pod, vf.link);
}

static void delete_sriov(int netns, char **arguments)
{
	struct vf vf = read_vf(arguments);
	int host = open_netns("/proc/self/ns/net");
	write_settings(&vf);
	current->nlmsg_flags |= NLM_F_ACK;
	ask(open_socket(NETLINK_ROUTE, 0));
	enter(netns);
	write_move(&vf, host, 0);
	ask(open_socket(NETLINK_ROUTE, 0));
}

/* --- rdma */

/* `rdma dev set DEVICE netns NETNS`. We are where the device is. */
static void move_rdma(unsigned int device, int netns)
{
	begin((RDMA_NL_NLDEV << 10) | RDMA_NLDEV_CMD_SET, NLM_F_ACK, 0);
	add_number(RDMA_NLDEV_ATTR_DEV_INDEX, device);
	add_number(RDMA_NLDEV_NET_NS_FD, netns);
	end();
	ask(open_socket(NETLINK_RDMA, 0));
}

static void add_rdma(int netns, char **arguments)
{
	move_rdma(number(arguments[0]), netns);
}

static void delete_rdma(int netns, char **arguments)
{
	int host = open_netns("/proc/self/ns/net");
	enter(netns);
	move_rdma(number(arguments[0]), host);
}

static const struct verb {
	const char *name;
	int arguments;
	void (*run)(int netns, char **arguments);
} verbs[] = {
	{"sriov-add", 11, add_sriov},
	{"sriov-del", 7, delete_sriov},
	{"rdma-add", 1, add_rdma},
	{"rdma-del", 1, delete_rdma},
};

int main(int argc, char **argv)
{
	for (size_t index = 0; index < sizeof verbs / sizeof *verbs; index++) {
		const struct verb *verb = &verbs[index];
		if (argc != verb->arguments + 3 || strcmp(argv[1], verb->name) != 0) continue;
		verb->run(open_netns(argv[2]), argv + 3);
		return 0;
	}
	fprintf(stderr, "usage: see the top of floor.c\n");
	return 2;
}
