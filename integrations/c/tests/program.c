/* A C program that uses every call, and calls it wrongly. Exits with 0 if all is as it should be. */
#include "tidegate.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

#define SECOND UINT64_C(1000000000)
#define KEYS 1000

_Alignas(TG_TABLE_ALIGN) static unsigned char memory[TG_TABLE_SIZE(KEYS)];
_Alignas(TG_LOCAL_ALIGN) static unsigned char local_memory[TG_LOCAL_SIZE(KEYS)];

static const tg_quota quota = {.cells = 2, .period_ns = SECOND};

static uint64_t later(void *context) {
    return *(uint64_t *)context;
}

static void tables(void) {
    tg_settings settings = {.keys = KEYS, .seed = 42, .quotas = &quota, .quota_count = 1};
    tg_table *table = NULL;
    for (size_t keys = 0; keys < 100; keys++) {
        CHECK(tg_table_size(keys) == TG_TABLE_SIZE(keys));
        CHECK(tg_local_size(keys) == TG_LOCAL_SIZE(keys));
    }
    CHECK(tg_table_size(SIZE_MAX) == SIZE_MAX);
    CHECK(tg_table_init(NULL, sizeof memory, &settings, &table) == TG_NULL);
    CHECK(tg_table_init(memory + 1, sizeof memory - 1, &settings, &table) == TG_MISALIGNED);
    CHECK(tg_table_init(memory, sizeof memory - 1, &settings, &table) == TG_TOO_SMALL);
    CHECK(tg_table_init(memory, sizeof memory, NULL, &table) == TG_NULL);
    CHECK(tg_table_init(memory, sizeof memory, &settings, NULL) == TG_NULL);
    tg_settings wrong = settings;
    wrong.on_full = 9;
    CHECK(tg_table_init(memory, sizeof memory, &wrong, &table) == TG_INVALID);
    wrong = settings;
    wrong.quota_count = 17;
    CHECK(tg_table_init(memory, sizeof memory, &wrong, &table) == TG_TOO_MANY);
    wrong = settings;
    wrong.keys = SIZE_MAX;
    CHECK(tg_table_init(memory, SIZE_MAX, &wrong, &table) == TG_TOO_MANY_KEYS);
    CHECK(table == NULL);
    CHECK(tg_table_init(memory, sizeof memory, &settings, &table) == TG_OK);

    tg_plan plan, other;
    tg_quota bad = {.cells = 0, .period_ns = SECOND, .burst = 1};
    CHECK(tg_table_plan(table, &bad, &plan) == TG_ZERO_RATE);
    bad = (tg_quota){.cells = 1, .period_ns = 0};
    CHECK(tg_table_plan(table, &bad, &plan) == TG_ZERO_PERIOD);
    CHECK(tg_table_plan(NULL, &quota, &plan) == TG_NULL);
    CHECK(tg_table_plan(table, &quota, &plan) == TG_OK);

    uint64_t now = SECOND;
    tg_decision decision;
    tg_figures figures;
    CHECK(tg_table_check(table, "alice", 5, &plan, 1, now, &decision) == TG_OK);
    CHECK(tg_decision_figures(&decision, &figures) == TG_OK);
    CHECK(figures.limit == 2 && figures.remaining == 1 && figures.charged == 1 && figures.admitted == 1);
    CHECK(tg_table_check(table, "alice", 5, &plan, 1, now, NULL) == TG_OK);
    CHECK(tg_table_check(table, "alice", 5, &plan, 1, now, &decision) == TG_DENIED);
    CHECK(!tg_decision_is_admitted(&decision) && !tg_decision_is_admitted(NULL));
    CHECK(tg_decision_figures(&decision, &figures) == TG_OK);
    CHECK(figures.retry_after_ns == SECOND / 2 && figures.reset_after_ns == SECOND);
    CHECK(tg_table_check(table, "alice", 5, &plan, 3, now, &decision) == TG_DENIED);
    CHECK(tg_decision_figures(&decision, &figures) == TG_OK && figures.retry_after_ns == UINT64_MAX);
    CHECK(tg_table_check(table, NULL, 5, &plan, 1, now, NULL) == TG_NULL);
    CHECK(tg_table_check(table, NULL, 0, &plan, 1, now, NULL) == TG_OK);
    CHECK(tg_table_check(table, "bob", 3, NULL, 1, now, NULL) == TG_NULL);
    CHECK(tg_table_check((tg_table *)(memory + 4), "bob", 3, &plan, 1, now, NULL) == TG_MISALIGNED);

    /* A plan of another unit of time. */
    tg_quota fast = {.cells = 48000000, .period_ns = SECOND};
    tg_settings faster = {.keys = 1, .seed = 1, .quotas = &fast, .quota_count = 1};
    void *heap = aligned_alloc(TG_TABLE_ALIGN, TG_TABLE_SIZE(1));
    tg_table *second = NULL;
    CHECK(tg_table_init(heap, TG_TABLE_SIZE(1), &faster, &second) == TG_OK);
    CHECK(tg_table_plan(second, &fast, &other) == TG_OK);
    CHECK(tg_table_check(table, "bob", 3, &other, 1, now, NULL) == TG_WRONG_UNIT);
    free(heap);

    CHECK(tg_table_check(table, "carol", 5, &plan, 2, now, &decision) == TG_OK);
    CHECK(tg_table_refund(table, "carol", 5, &decision, 1, now) == TG_OK);
    CHECK(tg_table_peek(table, "carol", 5, &plan, now, &decision) == TG_OK);
    CHECK(tg_decision_figures(&decision, &figures) == TG_OK && figures.remaining == 1);
    CHECK(tg_table_reset(table, "carol", 5, now) == TG_OK);
    CHECK(tg_table_peek(table, "carol", 5, &plan, now, &decision) == TG_OK);
    CHECK(tg_decision_figures(&decision, &figures) == TG_OK && figures.remaining == 2);

    /* A burst of more than one chunk: 3 for each of 30 keys, of which 2 are admitted. */
    static char names[90][16];
    static tg_request requests[90];
    static tg_decision decisions[90];
    for (int at = 0; at < 90; at++) {
        snprintf(names[at], sizeof names[at], "b%02d", at % 30);
        requests[at] = (tg_request){.key = names[at], .key_len = 3, .plan = &plan, .cost = 1};
    }
    requests[80].plan = &other;
    CHECK(tg_table_check_burst(table, requests, 90, now, decisions) == TG_WRONG_UNIT);
    requests[80].plan = &plan;
    CHECK(tg_table_check_burst(table, requests, 90, now, NULL) == TG_NULL);
    CHECK(tg_table_check_burst(table, NULL, 0, now, NULL) == TG_OK);
    CHECK(tg_table_check_burst(table, requests, 90, now, decisions) == TG_OK);
    for (int at = 0; at < 90; at++) {
        CHECK(tg_decision_is_admitted(&decisions[at]) == (at < 60));
    }
    /* A single check finds what the burst has charged. */
    CHECK(tg_table_check(table, "b00", 3, &plan, 1, now, NULL) == TG_DENIED);

    tg_request all[2] = {{"dave", 4, &plan, 1}, {"alice", 5, &plan, 1}};
    size_t by = 7;
    CHECK(tg_table_check_all(table, all, 2, now, later, &now, decisions, &by) == TG_DENIED);
    CHECK(by == 1);
    CHECK(tg_table_check_all(table, all, 1, now, NULL, NULL, NULL, NULL) == TG_OK);
    CHECK(tg_table_check_all(table, all, 0, now, NULL, NULL, NULL, NULL) == TG_OK);
    CHECK(tg_table_check_all(table, requests, 17, now, NULL, NULL, NULL, NULL) == TG_TOO_MANY);

    tg_reservation reservation;
    tg_settled settled;
    CHECK(tg_table_reserve(table, "erin", 4, &plan, 2, now, &reservation) == TG_OK);
    CHECK(tg_reservation_settle(&reservation, 1, now, &settled) == TG_OK);
    CHECK(settled.given_back == 1 && settled.charged == 0 && settled.unpaid == 0);
    CHECK(tg_table_reserve(table, "erin", 4, &plan, 2, now, &reservation) == TG_DENIED);
    CHECK(tg_table_reserve(table, "erin", 4, &plan, 1, now, &reservation) == TG_OK);
    CHECK(tg_reservation_settle(&reservation, 0, now, NULL) == TG_OK);

    tg_sweep sweep;
    tg_swept swept = {0};
    size_t len = 0, removed = 0;
    CHECK(tg_table_len(table, &len) == TG_OK && len > 30);
    CHECK(tg_sweep_init(table, &sweep) == TG_OK);
    do {
        CHECK(tg_sweep_step(&sweep, now + 10 * SECOND, 64, &swept) == TG_OK);
        removed += swept.removed;
    } while (!swept.wrapped);
    CHECK(removed == len);
    CHECK(tg_table_len(table, &len) == TG_OK && len == 0);
}

static void local_tables(void) {
    tg_local_settings settings = {.keys = KEYS, .seed = 42, .quotas = &quota, .quota_count = 1};
    tg_local *table = NULL;
    CHECK(tg_local_init(local_memory, 8, &settings, &table) == TG_TOO_SMALL);
    CHECK(tg_local_init(local_memory + 8, sizeof local_memory, &settings, &table) == TG_MISALIGNED);
    CHECK(tg_local_init(local_memory, sizeof local_memory, &settings, &table) == TG_OK);
    tg_plan plan;
    tg_decision decision;
    size_t removed = 0;
    CHECK(tg_local_plan(table, &quota, &plan) == TG_OK);
    CHECK(tg_local_check(table, "a", 1, &plan, 2, SECOND, &decision) == TG_OK);
    CHECK(tg_local_check(table, "a", 1, &plan, 1, SECOND, NULL) == TG_DENIED);
    CHECK(tg_local_refund(table, "a", 1, &decision, 1, SECOND) == TG_OK);
    CHECK(tg_local_peek(table, "a", 1, &plan, SECOND, &decision) == TG_OK);
    CHECK(tg_local_sweep(table, 9 * SECOND, SIZE_MAX, &removed) == TG_OK && removed == 1);
}

static void registries(void) {
    static tg_registry registry;
    tg_lease lease, second;
    uint64_t value = 0;
    size_t pruned = 0;
    CHECK(tg_registry_init(&registry, SECOND, 0) == TG_OK);
    CHECK(tg_registry_advertise(&registry, "api", 3, 80, 0, &lease) == TG_OK);
    CHECK(tg_registry_resolve(&registry, "api", 3, 0, &value) == TG_OK && value == 80);
    CHECK(tg_registry_resolve(&registry, "apj", 3, 0, &value) == TG_DENIED);
    CHECK(tg_registry_advertise(&registry, "\xff", 1, 1, 0, &lease) == TG_BAD_ID);
    CHECK(tg_registry_advertise(&registry, "123456789012345678901234567890123", 33, 1, 0, &lease) == TG_BAD_ID);
    CHECK(tg_registry_renew(&registry, &lease, SECOND / 2) == TG_OK);
    CHECK(tg_registry_renew(&registry, &lease, 2 * SECOND) == TG_DENIED);
    CHECK(tg_registry_prune(&registry, 2 * SECOND, &pruned) == TG_OK && pruned == 1);
    for (int at = 0; at < TG_REGISTRY_ENTRIES; at++) {
        const char id = (char)('A' + at);
        CHECK(tg_registry_advertise(&registry, &id, 1, 1, 0, &second) == TG_OK);
    }
    CHECK(tg_registry_advertise(&registry, "full", 4, 1, 0, &lease) == TG_FULL);
    CHECK(tg_registry_withdraw(&registry, &second, 0) == TG_OK);
    CHECK(tg_registry_withdraw(&registry, &second, 0) == TG_DENIED);
}

static void slots(void) {
    static tg_slot slot;
    tg_claim one, two;
    CHECK(tg_slot_init(&slot) == TG_OK);
    CHECK(tg_slot_claim(&slot, 1, SECOND, 0, &one) == TG_OK);
    CHECK(tg_slot_claim(&slot, 1, 0, 0, &two) == TG_REENTRANT);
    CHECK(tg_slot_claim(&slot, 2, 0, 0, &two) == TG_DENIED);
    CHECK(tg_claim_renew(&one, SECOND, SECOND / 2) == TG_OK);
    CHECK(tg_slot_claim(&slot, 2, 0, 2 * SECOND, &two) == TG_OK);
    CHECK(tg_claim_release(&one) == TG_DENIED);
    CHECK(tg_claim_release(&two) == TG_OK);
}

static void shared_tables(const char *path) {
    tg_settings settings = {.keys = KEYS, .seed = 7, .quotas = &quota, .quota_count = 1};
    tg_shared *one = NULL, *two = NULL, *three = NULL;
    tg_plan plan;
    CHECK(tg_shared_open(NULL, &settings, &one) == TG_NULL);
    CHECK(tg_shared_open("/no/such/folder/table", &settings, &one) == TG_IO);
    CHECK(tg_shared_open(path, &settings, &one) == TG_OK);
    CHECK(tg_shared_open(path, &settings, &two) == TG_OK);
    settings.keys = 7 * KEYS;
    CHECK(tg_shared_open(path, &settings, &three) == TG_DIFFERS && three == NULL);
    CHECK(tg_table_plan(tg_shared_table(one), &quota, &plan) == TG_OK);
    CHECK(tg_table_check(tg_shared_table(one), "a", 1, &plan, 2, tg_now_ns(), NULL) == TG_OK);
    CHECK(tg_table_check(tg_shared_table(two), "a", 1, &plan, 2, tg_now_ns(), NULL) == TG_DENIED);
    CHECK(tg_shared_table(NULL) == NULL);
    tg_shared_close(one);
    tg_shared_close(two);
    tg_shared_close(NULL);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(tg_abi_version() == TG_ABI_VERSION);
    CHECK(strlen(tg_version()) > 0);
    CHECK(strcmp(tg_error_message(TG_NULL), "a pointer is null") == 0);
    CHECK(strcmp(tg_error_message(12345), "no such code") == 0);
    tables();
    local_tables();
    registries();
    slots();
    shared_tables(argv[1]);
    return 0;
}
