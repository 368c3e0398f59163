/* Times checks of 1,000 keys of 8 bytes: prints nanoseconds a check, alone and in bursts of 32. */
#include "tidegate.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEYS 1000
#define BURST 32
#define ROUNDS 200000

_Alignas(TG_TABLE_ALIGN) static unsigned char memory[TG_TABLE_SIZE(KEYS)];

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(void) {
    const tg_quota quota = {.cells = 1000000000, .period_ns = 1000000000};
    const tg_settings settings = {.keys = KEYS, .seed = 42, .quotas = &quota, .quota_count = 1};
    tg_table *table;
    tg_plan plan;
    if (tg_table_init(memory, sizeof memory, &settings, &table) || tg_table_plan(table, &quota, &plan)) {
        return 1;
    }
    static uint64_t keys[KEYS + BURST];
    static tg_request requests[KEYS + BURST];
    static tg_decision decisions[BURST];
    for (size_t at = 0; at < KEYS + BURST; at++) {
        keys[at] = at % KEYS * UINT64_C(0x9e3779b97f4a7c15);
        requests[at] = (tg_request){.key = &keys[at], .key_len = 8, .plan = &plan, .cost = 1};
    }
    double best_single = 1e9, best_burst = 1e9;
    uint64_t admitted = 0;
    for (int run = 0; run < 20; run++) {
        uint64_t began = now_ns();
        for (int at = 0; at < ROUNDS; at++) {
            admitted += tg_table_check(table, &keys[at % KEYS], 8, &plan, 1, began, NULL) == TG_OK;
        }
        uint64_t middle = now_ns();
        for (int at = 0; at < ROUNDS / BURST; at++) {
            tg_table_check_burst(table, &requests[at * BURST % KEYS], BURST, middle, decisions);
        }
        uint64_t ended = now_ns();
        const double single = (double)(middle - began) / ROUNDS;
        const double burst = (double)(ended - middle) / (ROUNDS / BURST * BURST);
        best_single = single < best_single ? single : best_single;
        best_burst = burst < best_burst ? burst : best_burst;
    }
    printf("%.2f %.2f\n", best_single, best_burst);
    return admitted == 0;
}
