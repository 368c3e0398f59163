/* Calls in any order with any arguments that the header allows. None may panic, and what is admitted keeps to
 * the quota in every window.
 *
 * clang -fsanitize=fuzzer,address -Iinclude tests/fuzz.c libtidegate_c.a -lpthread -ldl -lm
 *
 * With -DSTANDALONE the program makes its own inputs. Its argument is their number.
 */
#include "tidegate.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 8, HELD = 4, LIMITS = 3 };

static _Alignas(TG_TABLE_ALIGN) unsigned char memory[TG_TABLE_SIZE(KEYS)];
static _Alignas(TG_LOCAL_ALIGN) unsigned char local_memory[TG_LOCAL_SIZE(KEYS)];

/* What is left of the input. */
static const uint8_t *input;
static size_t left;

static uint64_t take(size_t bytes)
{
    uint64_t value = 0;

    while (bytes-- && left) {
        value = value << 8 | *input++;
        left--;
    }
    return value;
}

static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

/* Returns the code, which is one of those that are listed and no panic. */
static tg_error checked(tg_error code)
{
    must(code != TG_PANICKED, "no call panics");
    must(strlen(tg_error_message(code)) > 0, "each code has a message");
    return code;
}

/* Mostly small, and at times anything at all. */
static uint64_t amount(void)
{
    uint64_t how = take(1);

    return how < 200 ? how % 16 : how < 240 ? take(3) : take(8);
}

static uint64_t clock_of(void *context)
{
    return *(uint64_t *)context;
}

/* What each key was admitted since its bucket was full for certain, less what was asked back. */
typedef struct {
    uint64_t admitted[KEYS], back[KEYS];
    uint64_t earliest, latest;
} ledger;

static void admit(ledger *of, size_t key, uint64_t cells)
{
    of->admitted[key] += cells;
}

static void tables(void)
{
    tg_quota quota = {.cells = 1 + take(1), .period_ns = 1000000000, .burst = 1 + take(1), .debt = take(1) % 4};
    tg_settings settings = {.keys = KEYS, .seed = take(2), .quotas = &quota, .quota_count = 1, .on_full = TG_DENY};
    tg_local_settings local_settings = {.keys = KEYS, .seed = settings.seed, .quotas = &quota, .quota_count = 1};
    tg_table *table;
    tg_local *local;
    tg_plan plan, local_plan;
    tg_decision held[HELD];
    size_t held_key[HELD], removed;
    uint64_t held_cost[HELD] = {0}, now = 1000000000, cells, count;
    tg_reservation reservation;
    int is_reserved = 0;
    tg_figures figures;
    tg_settled settled;
    tg_sweep sweep;
    ledger seen = {.earliest = now, .latest = now};

    must(checked(tg_table_init(memory, sizeof memory, &settings, &table)) == TG_OK, "a table");
    must(checked(tg_local_init(local_memory, sizeof local_memory, &local_settings, &local)) == TG_OK, "a local table");
    must(checked(tg_table_plan(table, &quota, &plan)) == TG_OK, "a plan");
    must(checked(tg_local_plan(local, &quota, &local_plan)) == TG_OK, "a local plan");
    must(checked(tg_sweep_init(table, &sweep)) == TG_OK, "a sweep");
    while (left) {
        uint64_t call = take(1);
        size_t place = take(1) % HELD, number = take(1) % KEYS;
        uint8_t key = (uint8_t)number;
        tg_request requests[LIMITS];
        tg_decision decisions[LIMITS], one;

        /* Back by a second at most, and forwards by anything up to a year. */
        now = call % 4 == 0 ? now + take(4) : call % 4 == 1 && now > 2000000000 ? now - take(4) % 1000000000 : now;
        seen.earliest = now < seen.earliest ? now : seen.earliest;
        seen.latest = now > seen.latest ? now : seen.latest;
        cells = amount();
        switch (call / 4 % 12) {
        case 0:
        case 1:
            if (checked(tg_table_check(table, &key, 1, &plan, cells, now, &one)) == TG_OK) {
                admit(&seen, number, cells);
                held[place] = one;
                held_key[place] = number;
                held_cost[place] = cells;
                must(checked(tg_decision_figures(&one, &figures)) == TG_OK && figures.charged == cells, "the charge");
            } else {
                must(!tg_decision_is_admitted(&one), "denied");
            }
            break;
        case 2:
            count = take(1) % (LIMITS + 1);
            for (size_t at = 0; at < LIMITS; at++)
                requests[at] = (tg_request){.key = &key, .key_len = 1, .plan = &plan, .cost = cells};
            if (checked(tg_table_check_burst(table, requests, count, now, decisions)) == TG_OK)
                for (size_t at = 0; at < count; at++)
                    admit(&seen, number, tg_decision_is_admitted(&decisions[at]) ? cells : 0);
            break;
        case 3: {
            uint8_t other = (uint8_t)(take(1) % KEYS);

            requests[0] = (tg_request){.key = &key, .key_len = 1, .plan = &plan, .cost = cells};
            requests[1] = (tg_request){.key = &other, .key_len = 1, .plan = &plan, .cost = cells};
            if (checked(tg_table_check_all(table, requests, 2, now, clock_of, &now, NULL, NULL)) == TG_OK) {
                admit(&seen, number, cells);
                admit(&seen, other, cells);
            }
            break;
        }
        case 4:
            if (held_cost[place]) {
                /* Once, and by the decision of its own key. */
                uint8_t its = (uint8_t)held_key[place];

                checked(tg_table_refund(table, &its, 1, &held[place], cells, now));
                seen.back[its] += cells < held_cost[place] ? cells : held_cost[place];
                held_cost[place] = 0;
            }
            break;
        case 5:
            if (!is_reserved && cells && checked(tg_table_reserve(table, &key, 1, &plan, cells, now, &reservation)) == TG_OK) {
                is_reserved = 1;
                admit(&seen, number, cells);
                seen.back[number] += cells;
            }
            break;
        case 6:
            if (is_reserved) {
                checked(tg_reservation_settle(&reservation, cells, now, &settled));
                is_reserved = 0;
            }
            break;
        case 7:
            checked(tg_sweep_step(&sweep, now, cells % 1000, NULL));
            break;
        case 8:
            checked(tg_local_check(local, &key, 1, &local_plan, cells, now, &one));
            checked(tg_local_refund(local, &key, 1, &one, cells / 2, now));
            break;
        case 9:
            checked(tg_local_sweep(local, now, cells % 1000, &removed));
            break;
        case 10:
            checked(tg_table_peek(table, &key, 1, &plan, now, &one));
            must(checked(tg_decision_figures(&one, &figures)) == TG_OK && figures.charged == 0, "peeking is free");
            break;
        default:
            checked(tg_table_len(table, &removed));
            must(removed <= sizeof memory / 8, "a number of buckets");
        }
    }
    if (is_reserved)
        checked(tg_reservation_settle(&reservation, 0, now, NULL));
    for (size_t at = 0; at < KEYS; at++) {
        /* A plan's unit may round a charge by one in 2^24, and a bucket is early by one unit at most. */
        double flowed = (double)quota.cells * (double)(seen.latest - seen.earliest) / 1e9;
        double bound = (double)quota.burst + flowed + 1 + (double)seen.back[at];

        must((double)seen.admitted[at] <= bound * 1.000001, "the window's bound");
    }
}

static void others(void)
{
    tg_registry registry;
    tg_lease leases[HELD];
    int is_leased[HELD] = {0}, is_claimed = 0;
    tg_slot slot;
    tg_claim claim;
    uint64_t now = 1, value;

    must(checked(tg_registry_init(&registry, 1 + take(2), take(1) % 2)) == TG_OK, "a registry");
    must(checked(tg_slot_init(&slot)) == TG_OK, "a slot");
    while (left) {
        uint64_t call = take(1);
        size_t place = take(1) % HELD;
        char id[40];
        size_t length = take(1) % sizeof id;

        memset(id, 'a' + (int)(take(1) % 26), sizeof id);
        now += take(1);
        switch (call % 8) {
        case 0:
        case 1:
            if (checked(tg_registry_advertise(&registry, id, length, call, now, &leases[place])) == TG_OK)
                is_leased[place] = 1;
            break;
        case 2:
            checked(tg_registry_resolve(&registry, id, length, now, &value));
            break;
        case 3:
            if (is_leased[place])
                checked(tg_registry_renew(&registry, &leases[place], now));
            break;
        case 4:
            if (is_leased[place])
                checked(tg_registry_withdraw(&registry, &leases[place], now));
            break;
        case 5:
            checked(tg_registry_prune(&registry, now, NULL));
            break;
        case 6:
            if (!is_claimed)
                is_claimed = checked(tg_slot_claim(&slot, (uint32_t)take(1), take(1), now, &claim)) == TG_OK;
            break;
        default:
            if (is_claimed && take(1) % 2)
                checked(tg_claim_renew(&claim, 1 + take(1), now));
            else if (is_claimed)
                is_claimed = checked(tg_claim_release(&claim)) != TG_OK && 0;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    if (take(1) % 4)
        tables();
    else
        others();
    return 0;
}

#ifdef STANDALONE
int main(int count, char **arguments)
{
    uint64_t random = 88172645463325252, runs = count > 1 ? strtoull(arguments[1], NULL, 10) : 0;
    uint8_t data[512];

    /* The argument may be something else. */
    if (!runs)
        runs = 2000;
    while (runs--) {
        for (size_t at = 0; at < sizeof data; at++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            data[at] = (uint8_t)(random >> 32);
        }
        LLVMFuzzerTestOneInput(data, random % sizeof data);
    }
    return 0;
}
#endif
