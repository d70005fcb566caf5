/**
 * Numbers of the netlink families that we speak, under the names of their headers.
 */

// linux/netlink.h
export const NETLINK_ROUTE = 0;
export const NETLINK_RDMA = 20;

export const SOL_NETLINK = 270;
/** Events of every namespace that has a number here (RTM_NEWNSID). */
export const NETLINK_LISTEN_ALL_NSID = 8;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_HDRLEN = 16;
export const NLMSGERR_ATTR_MSG = 1;

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP_INTR = 0x010;
/** NLM_F_ROOT | NLM_F_MATCH: all objects of a kind. */
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** In an error message: the refused request is not repeated in it. */
export const NLM_F_CAPPED = 0x100;
/** In an error message: attributes (the kernel's own words) follow. */
export const NLM_F_ACK_TLVS = 0x200;

export const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;
export const NLA_HDRLEN = 4;

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_DELLINK = 17;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNSID = 88;
export const RTM_DELNSID = 89;
export const RTM_NEWLINKPROP = 108;
export const RTM_DELLINKPROP = 109;

/** Groups of changes that a socket can hear of. */
export const RTMGRP_LINK = 0x1;
export const RTMGRP_IPV6_IFADDR = 0x100;
/** RTNLGRP_NSID (28) as a bit of the mask. */
export const RTMGRP_NSID = 1 << 27;

/** Sizes of `struct ifinfomsg`, `ifaddrmsg`, `rtmsg` and `rtnexthop`. */
export const IFINFOMSG_BYTES = 16;
export const IFADDRMSG_BYTES = 8;
export const RTMSG_BYTES = 12;
export const RTNEXTHOP_BYTES = 8;

export const RT_TABLE_MAIN = 254;
export const RTPROT_BOOT = 3;
export const RTN_UNICAST = 1;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_NOWHERE = 255;
/** A copy that the kernel made of a route for one destination. */
export const RTM_F_CLONED = 0x200;

export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_METRICS = 8;
export const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
export const RTA_VIA = 18;
export const RTAX_MTU = 2;
export const RTAX_ADVMSS = 8;

export const RTEXT_FILTER_VF = 1;
/**
 * Without it the answer holds 8 counters for each VF; with many VFs it is then too long for its 16-bit length field.
 */
export const RTEXT_FILTER_SKIP_STATS = 8;

// linux/if.h, linux/if_link.h
export const IFF_UP = 0x1;
export const IFF_RUNNING = 0x40;
export const IFF_PROMISC = 0x100;
export const IFF_ALLMULTI = 0x200;
/** Longest name of an interface, without its NUL (IFNAMSIZ - 1); longer ones are alternative names. */
export const IFNAME_MAX = 15;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_TXQLEN = 13;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
export const IFLA_IFALIAS = 20;
export const IFLA_VFINFO_LIST = 22;
export const IFLA_AF_SPEC = 26;
export const IFLA_GROUP = 27;
export const IFLA_NET_NS_FD = 28;
export const IFLA_EXT_MASK = 29;
export const IFLA_PROP_LIST = 52;
export const IFLA_ALT_IFNAME = 53;
export const IFLA_PERM_ADDRESS = 54;
export const IFLA_PARENT_DEV_NAME = 56;
export const IFLA_INFO_KIND = 1;

export const IFLA_VF_INFO = 1;
export const IFLA_VF_MAC = 1;
export const IFLA_VF_VLAN = 2;
export const IFLA_VF_SPOOFCHK = 4;
export const IFLA_VF_LINK_STATE = 5;
export const IFLA_VF_RATE = 6;
export const IFLA_VF_TRUST = 9;
export const IFLA_VF_VLAN_LIST = 12;
export const IFLA_VF_VLAN_INFO = 1;
/** `mac` of `struct ifla_vf_mac` (MAX_ADDR_LEN). */
export const VF_MAC_BYTES = 32;
/** linux/if_ether.h, for `vlan_proto` of `struct ifla_vf_vlan_info`. */
export const ETH_P_8021Q = 0x8100;
export const ETH_P_8021AD = 0x88a8;

// linux/if_addr.h
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_BROADCAST = 4;
export const IFA_CACHEINFO = 6;
export const IFA_FLAGS = 8;

export const IFA_F_NODAD = 0x02;
export const IFA_F_OPTIMISTIC = 0x04;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_PERMANENT = 0x80;

// rdma/rdma_netlink.h: types of messages are client << 10 | command.
const RDMA_NL_NLDEV = 5;
export const RDMA_NLDEV_CMD_GET = (RDMA_NL_NLDEV << 10) | 1;
export const RDMA_NLDEV_CMD_SET = (RDMA_NL_NLDEV << 10) | 2;
export const RDMA_NLDEV_CMD_SYS_GET = (RDMA_NL_NLDEV << 10) | 6;
export const RDMA_NLDEV_CMD_SYS_SET = (RDMA_NL_NLDEV << 10) | 7;

export const RDMA_NLDEV_ATTR_DEV_INDEX = 1;
export const RDMA_NLDEV_ATTR_DEV_NAME = 2;
export const RDMA_NLDEV_SYS_ATTR_NETNS_MODE = 66;
export const RDMA_NLDEV_NET_NS_FD = 68;
/** IB_DEVICE_NAME_MAX - 1: the longest name of a device in bytes, without its NUL. */
export const RDMA_NAME_MAX = 63;

/**
 * Of the IPv4 part of IFLA_AF_SPEC: an attribute for each setting of /proc/sys/net/ipv4/conf, IPV4_DEVCONF_* of
 * linux/ip.h.
 */
export const IFLA_INET_CONF = 1;
export const IPV4_DEVCONF_ARP_NOTIFY = 22;
