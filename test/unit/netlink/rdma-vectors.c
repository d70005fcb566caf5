/*
 * RDMA netlink messages as C sees them, with the kernel's own numbers: see vectors.c. Sequence number 1, port 0.
 */
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>

static char buffer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
static struct nlmsghdr *const header = (struct nlmsghdr *)buffer;

static void start(int command, int flags)
{
	memset(buffer, 0, sizeof(buffer));
	header->nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command);
	header->nlmsg_flags = flags;
	header->nlmsg_seq = 1;
	header->nlmsg_len = NLMSG_HDRLEN;
}

static void put(int type, const void *data, size_t length)
{
	struct nlattr *attribute = (struct nlattr *)(buffer + NLMSG_ALIGN(header->nlmsg_len));

	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	memcpy((char *)attribute + NLA_HDRLEN, data, length);
	header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + NLA_ALIGN(attribute->nla_len);
}

static void put_u32(int type, __u32 value) { put(type, &value, sizeof(value)); }
static void put_u64(int type, __u64 value) { put(type, &value, sizeof(value)); }
static void put_u8(int type, __u8 value) { put(type, &value, sizeof(value)); }
static void put_text(int type, const char *text) { put(type, text, strlen(text) + 1); }

static void finish(const char *name)
{
	printf("%s ", name);
	for (unsigned int i = 0; i < header->nlmsg_len; i++)
		printf("%02x", (unsigned char)buffer[i]);
	printf("\n");
}

static void device(__u32 index, const char *name)
{
	start(RDMA_NLDEV_CMD_GET, NLM_F_MULTI);
	put_u32(RDMA_NLDEV_ATTR_DEV_INDEX, index);
	put_text(RDMA_NLDEV_ATTR_DEV_NAME, name);
	put_u32(RDMA_NLDEV_ATTR_PORT_INDEX, 1);
	put_u64(RDMA_NLDEV_ATTR_NODE_GUID, 0x0200005e00100001);
	put_u8(RDMA_NLDEV_ATTR_DEV_NODE_TYPE, 1);
}

static void mode(__u8 value, const char *name)
{
	start(RDMA_NLDEV_CMD_SYS_GET, 0);
	put_u8(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, value);
	finish(name);
}

int main(void)
{
	start(RDMA_NLDEV_CMD_SYS_GET, NLM_F_REQUEST);
	finish("get-mode");
	mode(1, "shared");
	mode(0, "exclusive");
	start(RDMA_NLDEV_CMD_SYS_GET, 0);
	finish("no-mode");

	start(RDMA_NLDEV_CMD_GET, NLM_F_REQUEST | NLM_F_DUMP);
	finish("list");
	start(RDMA_NLDEV_CMD_GET, NLM_F_REQUEST);
	put_u32(RDMA_NLDEV_ATTR_DEV_INDEX, 7);
	finish("get");
	device(0, "mlx5_0");
	finish("device-0");
	device(7, "rdma_net1_7");
	finish("device-7");

	start(RDMA_NLDEV_CMD_SET, NLM_F_REQUEST | NLM_F_ACK);
	put_u32(RDMA_NLDEV_ATTR_DEV_INDEX, 7);
	put_text(RDMA_NLDEV_ATTR_DEV_NAME, "rdma_net1_7");
	finish("rename");
	start(RDMA_NLDEV_CMD_SET, NLM_F_REQUEST | NLM_F_ACK);
	put_u32(RDMA_NLDEV_ATTR_DEV_INDEX, 7);
	put_u32(RDMA_NLDEV_NET_NS_FD, 9);
	finish("move");
	return 0;
}
