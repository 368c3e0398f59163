/* A policer between two ports of DPDK: one worker on one lcore, run to completion.
 *
 * A sketch: it shows where the table's calls belong, and leaves the set-up of queues to the program that
 * it is put into. The table may be shared by any number of lcores.
 *
 * cc -O2 $(pkg-config --cflags libdpdk) -Iinclude examples/dpdk.c libtidegate_c.a $(pkg-config --libs libdpdk)
 */

#include <stdint.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_random.h>

#include "tidegate.h"

enum { BURST = 32, FLOWS = 1000000, SLOTS_SWEPT = 8, FROM = 0, TO = 1 };

/* What distinguishes a flow. Packed, because the key is its bytes. */
struct flow {
    rte_be32_t source, target;
    rte_be16_t source_port, target_port;
    uint8_t protocol;
} __attribute__((packed));

/* Reads the flow of an IPv4 packet. Returns 0 for any other, and for one that is cut. */
static int flow_of(const struct rte_mbuf *packet, struct flow *flow)
{
    const struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
    const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(ethernet + 1);
    size_t headers = sizeof *ethernet + sizeof *ip, ports;

    if (rte_pktmbuf_data_len(packet) < headers ||
        ethernet->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
        return 0;
    memset(flow, 0, sizeof *flow);
    flow->source = ip->src_addr;
    flow->target = ip->dst_addr;
    flow->protocol = ip->next_proto_id;
    ports = sizeof *ethernet + (size_t)(ip->version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
    if ((ip->next_proto_id == IPPROTO_TCP || ip->next_proto_id == IPPROTO_UDP) && ports >= headers &&
        (rte_be_to_cpu_16(ip->fragment_offset) & RTE_IPV4_HDR_OFFSET_MASK) == 0 &&
        rte_pktmbuf_data_len(packet) >= ports + 4)
        memcpy(&flow->source_port, (const uint8_t *)ethernet + ports, 4);
    return 1;
}

/* Nanoseconds since the machine started, without a system call. */
static uint64_t now_ns(void)
{
    uint64_t cycles = rte_rdtsc(), hertz = rte_get_tsc_hz();

    return cycles / hertz * 1000000000 + cycles % hertz * 1000000000 / hertz;
}

/* Takes bursts for ever. Neither allocates nor calls the system. */
static int work(const tg_table *table, const tg_plan *plan)
{
    struct rte_mbuf *packets[BURST], *passing[BURST];
    struct flow flows[BURST];
    tg_request requests[BURST];
    tg_decision decisions[BURST];
    tg_sweep sweep;

    if (tg_sweep_init(table, &sweep) != TG_OK)
        return -1;
    for (;;) {
        uint16_t count = rte_eth_rx_burst(FROM, 0, packets, BURST), asked = 0, passes = 0, sent;
        uint16_t of[BURST];
        uint64_t now = now_ns();

        for (uint16_t at = 0; at < count; at++) {
            if (!flow_of(packets[at], &flows[asked])) {
                passing[passes++] = packets[at]; /* ARP and the like */
                continue;
            }
            of[asked] = at;
            requests[asked] = (tg_request){
                .key = &flows[asked], .key_len = sizeof flows[asked], .plan = plan,
                .cost = 8 * (uint64_t)rte_pktmbuf_pkt_len(packets[at]),
            };
            asked++;
        }
        if (tg_table_check_burst(table, requests, asked, now, decisions) != TG_OK)
            return -1;
        for (uint16_t at = 0; at < asked; at++) {
            tg_figures figures;

            if (tg_decision_figures(&decisions[at], &figures) == TG_OK && figures.admitted)
                passing[passes++] = packets[of[at]];
            else
                rte_pktmbuf_free(packets[of[at]]);
        }
        sent = rte_eth_tx_burst(TO, 0, passing, passes);
        while (sent < passes)
            rte_pktmbuf_free(passing[sent++]);
        tg_sweep_step(&sweep, now, SLOTS_SWEPT, NULL);
    }
}

int main(int count, char **arguments)
{
    const tg_quota quota = {.cells = 1000000, .period_ns = 1000000000, .burst = 100000}; /* bits */
    tg_settings settings = {.keys = FLOWS, .quotas = &quota, .quota_count = 1};
    tg_table *table;
    tg_plan plan;
    void *memory;

    if (rte_eal_init(count, arguments) < 0)
        return rte_errno;
    settings.seed = rte_rand();
    memory = rte_malloc("flows", TG_TABLE_SIZE(FLOWS), TG_TABLE_ALIGN);
    if (!memory || tg_table_init(memory, TG_TABLE_SIZE(FLOWS), &settings, &table) != TG_OK ||
        tg_table_plan(table, &quota, &plan) != TG_OK)
        return 1;
    /* Here a program configures and starts its ports, and gives each lcore a queue. */
    return work(table, &plan);
}
