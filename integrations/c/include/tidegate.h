/* tidegate for C and C++: rate limits, a registry and claims.
 *
 * Made by cbindgen from integrations/c/src: edit the documentation there.
 *
 * Times are nanoseconds of one clock, such as CLOCK_MONOTONIC. Keys are bytes. Every call returns a
 * tg_error: TG_OK, TG_DENIED, or an error below zero, which tg_error_message explains. Null,
 * misaligned and undersized memory is an error. No call but tg_shared_open blocks or allocates.
 */

#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stddef.h>
#include <stdint.h>

// The alignment of the memory for a local table, in bytes.
#define TG_LOCAL_ALIGN 64

// What a local table needs besides its sets, in bytes.
#define TG_LOCAL_HEADER 704

// The size of a local set, which serves 3.5 keys, in bytes.
#define TG_LOCAL_SET_SIZE 128

// A full table denies new keys.
#define TG_DENY 0

// A full table admits new keys without counting.
#define TG_ADMIT 1

// New keys of a full table share 64 buckets.
#define TG_SHARED 2

// The most entries of a registry.
#define TG_REGISTRY_ENTRIES 32

// The most bytes of an id.
#define TG_REGISTRY_ID 32

// The alignment of the memory for a table, in bytes.
#define TG_TABLE_ALIGN 128

// What a table needs besides its sets, in bytes.
#define TG_TABLE_HEADER 1280

// The size of a set, which serves 3.5 keys, in bytes.
#define TG_SET_SIZE 128

// The most limits in one call.
#define TG_MAX_LIMITS 16

// The version of the functions, types and sizes in the header. A change that breaks a program that
// was compiled with the header raises it.
#define TG_ABI_VERSION 1

// What a call returns. Errors are below zero, and leave what was to be written as it was.
typedef enum tg_error {
  // The call did what it says. A check: the request is admitted.
  TG_OK = 0,
  // The request is denied, the slot is held, or the lease has ended. The answer of a call that
  // did what it says.
  TG_DENIED = 1,
  // A pointer is null.
  TG_NULL = -1,
  // A pointer has not the alignment of what it points to.
  TG_MISALIGNED = -2,
  // The memory is smaller than the size that is needed.
  TG_TOO_SMALL = -3,
  // The plan is of a table of another unit of time.
  TG_WRONG_UNIT = -4,
  // There are more limits than one call may have.
  TG_TOO_MANY = -5,
  // A setting is none of those that there are.
  TG_INVALID = -6,
  // The quota's rate is 0 cells a period.
  TG_ZERO_RATE = -10,
  // The quota's period is 0.
  TG_ZERO_PERIOD = -11,
  // The quota's burst is 0 cells.
  TG_ZERO_BURST = -12,
  // The quota's cells, burst, debt or period is 2^63 or more.
  TG_TOO_LARGE = -13,
  // The quota's rate is above 2^63 cells a second.
  TG_TOO_FAST = -14,
  // The quota's burst takes so long to drain that time would overflow within ten years.
  TG_HORIZON = -15,
  // In the table's unit of time the quota's rate would be off by more than 1/1024.
  TG_COARSE = -16,
  // There is no memory for this number of keys.
  TG_TOO_MANY_KEYS = -17,
  // An id is too long, or is not UTF-8.
  TG_BAD_ID = -20,
  // The registry is full.
  TG_FULL = -21,
  // The caller has the slot already, and would wait for itself.
  TG_REENTRANT = -22,
  // The system refused the file of a shared table.
  TG_IO = -30,
  // The file of a shared table holds something else, and was left as it is.
  TG_DIFFERS = -31,
  // The library has failed, and the call may have done a part. A defect: please report it.
  TG_PANICKED = -99,
} tg_error;

// A table of buckets that one thread uses at a time. It is only ever used by address.
typedef struct tg_local tg_local;

#if defined(__linux__)
// A table in a file. On the heap: to be closed.
typedef struct tg_shared tg_shared;
#endif

// A table of buckets that any number of threads share. It is only ever used by address.
typedef struct tg_table tg_table;

// The answer to a check. The figures are computed when they are asked for. There is one only after
// `TG_OK` or `TG_DENIED`: until then, and after an error, these bytes say nothing.
typedef struct tg_decision {
  // Not for the program.
  uint64_t opaque[8];
} tg_decision;

// The figures of a decision.
typedef struct tg_figures {
  // The burst, in cells.
  uint64_t limit;
  // Cells that could be had at once after the check.
  uint64_t remaining;
  // Cells that the check charged.
  uint64_t charged;
  // How long until the same request would be admitted, in nanoseconds: 0 if it was admitted, and
  // `UINT64_MAX` if it never can be.
  uint64_t retry_after_ns;
  // How long until the bucket is full again, in nanoseconds.
  uint64_t reset_after_ns;
  // How long the request must be delayed, in nanoseconds.
  uint64_t delay_ns;
  // 1 if the request is admitted, otherwise 0.
  uint32_t admitted;
  // 1 if the table had no slot for the key, otherwise 0.
  uint32_t unplaced;
} tg_figures;

// How many cells a client gets. A quota of all zeros, but for the period, denies everything.
typedef struct tg_quota {
  // Cells in every period.
  uint64_t cells;
  // The period, in nanoseconds.
  uint64_t period_ns;
  // Cells at once. 0: as many as `cells`.
  uint64_t burst;
  // How long a request may be delayed instead of denied, in nanoseconds. 0: not at all.
  uint64_t max_wait_ns;
  // Cells that settling a reservation may charge beyond an empty bucket.
  uint64_t debt;
} tg_quota;

// How a local table is made. Zeros are the defaults, but for `keys` and `seed`.
typedef struct tg_local_settings {
  // The keys that the table is for at a time.
  size_t keys;
  // The seed of the keys' hashes: a secret random number.
  uint64_t seed;
  // The quotas that the unit of time is to suit, and how many: at most 16.
  const struct tg_quota *quotas;
  // The number of quotas.
  size_t quota_count;
  // What a full table answers new keys: `TG_DENY`, `TG_ADMIT` or `TG_SHARED`.
  uint32_t on_full;
} tg_local_settings;

// A quota in the terms of one table. To be passed by address, and not changed.
typedef struct tg_plan {
  // Not for the program.
  uint64_t opaque[12];
} tg_plan;

// A registry of up to 32 entries: ids of up to 32 bytes of UTF-8, and a number or an address for
// each. One thread uses it at a time.
typedef struct tg_registry {
  // Not for the program.
  uint64_t opaque[420];
} tg_registry;

// The right to renew and to withdraw one entry.
typedef struct tg_lease {
  // Not for the program.
  uint64_t opaque[1];
} tg_lease;

// How a table is made. Zeros are the defaults, but for `keys` and `seed`.
typedef struct tg_settings {
  // The keys that the table is for at a time.
  size_t keys;
  // The seed of the keys' hashes: a secret random number. A shared file that is there keeps its
  // own.
  uint64_t seed;
  // The quotas that the unit of time is to suit, and how many: at most 16.
  const struct tg_quota *quotas;
  // The number of quotas.
  size_t quota_count;
  // What a full table answers new keys: `TG_DENY`, `TG_ADMIT` or `TG_SHARED`.
  uint32_t on_full;
  // 1: a shared file that holds another table is refused. 0: it starts empty.
  uint32_t refuse_other;
  // How far apart the clocks of two threads may be, in nanoseconds. 0: 10 ms.
  uint64_t grace_ns;
} tg_settings;

// What one caller at a time may claim. Any number of threads share it.
typedef struct tg_slot {
  // Not for the program.
  uint64_t opaque[2];
} tg_slot;

// A claim on a slot.
typedef struct tg_claim {
  // Not for the program.
  uint64_t opaque[2];
} tg_claim;

// One key of a burst, or one of several limits.
typedef struct tg_request {
  // The key's bytes.
  const void *key;
  // How many there are.
  size_t key_len;
  // The plan, of this table.
  const struct tg_plan *plan;
  // The cells to be charged.
  uint64_t cost;
} tg_request;

// An estimate that was charged. It must stay where it is until it is settled.
typedef struct tg_reservation {
  // Not for the program.
  uint64_t opaque[32];
} tg_reservation;

// What became of a reservation that was settled, in cells.
typedef struct tg_settled {
  // Cells of the estimate that were given back.
  uint64_t given_back;
  // Cells that were charged on top of it.
  uint64_t charged;
  // Cells that were used on top of it and could not be charged.
  uint64_t unpaid;
} tg_settled;

// Where a sweep is.
typedef struct tg_sweep {
  // Not for the program.
  uint64_t opaque[2];
} tg_sweep;

// What a step of a sweep did.
typedef struct tg_swept {
  // Slots that were looked at.
  size_t visited;
  // Buckets that were given up, because they were full.
  size_t removed;
  // 1 if the step reached the end of the table, otherwise 0.
  uint32_t wrapped;
} tg_swept;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Writes the figures of a decision.
//
// # Safety
//
// `decision` holds what a check wrote; `figures` is memory for the figures.
enum tg_error tg_decision_figures(const struct tg_decision *decision, struct tg_figures *figures);

// Returns 1 if the request is admitted, otherwise 0. A null pointer is not admitted.
//
// # Safety
//
// `decision` is null or holds what a check wrote.
uint32_t tg_decision_is_admitted(const struct tg_decision *decision);

// Returns a message for a code of `tg_error`, in English, without a full stop. Never null.
const char *tg_error_message(int32_t code);

// Returns the size of the memory for a local table of `keys` keys, in bytes. Returns `SIZE_MAX` if
// there is no such memory. `TG_LOCAL_SIZE(keys)` is the same number as a constant.
size_t tg_local_size(size_t keys);

// Makes an empty table in `memory`, which is `size` bytes and belongs to the table from now on.
// Writes the table's address, which is that of the memory. There is nothing to be released.
//
// # Safety
//
// `memory` is `size` bytes that nothing else uses, `settings` is valid, `table` is memory for a
// pointer.
enum tg_error tg_local_init(void *memory_at,
                            size_t size,
                            const struct tg_local_settings *settings,
                            struct tg_local **table);

// Compiles a quota for a table.
//
// # Safety
//
// `table` is a table, `quota` is valid, `plan` is memory for a plan.
enum tg_error tg_local_plan(struct tg_local *table,
                            const struct tg_quota *quota,
                            struct tg_plan *plan);

// Charges `cost` cells to the key's bucket if the plan admits them, all or none. Returns `TG_OK`
// if the request is admitted and `TG_DENIED` if it is not. `decision` may be null.
//
// # Safety
//
// `table` is a table that no other thread uses, `key` is `key_len` bytes, `plan` was compiled,
// `decision` is null or memory for a decision.
enum tg_error tg_local_check(struct tg_local *table,
                             const void *key,
                             size_t key_len,
                             const struct tg_plan *plan_of,
                             uint64_t cost,
                             uint64_t now_ns,
                             struct tg_decision *decision);

// Writes what a check of one cell would answer. Charges nothing.
//
// # Safety
//
// As for `tg_local_check`.
enum tg_error tg_local_peek(struct tg_local *table,
                            const void *key,
                            size_t key_len,
                            const struct tg_plan *plan_of,
                            uint64_t now_ns,
                            struct tg_decision *decision);

// Gives back up to `cells` cells of a charge that was admitted and not used, as far as that is
// safe. A decision is to be refunded once.
//
// # Safety
//
// As for `tg_local_check`; `decision` holds what a check of this table wrote.
enum tg_error tg_local_refund(struct tg_local *table,
                              const void *key,
                              size_t key_len,
                              const struct tg_decision *decision,
                              uint64_t cells,
                              uint64_t now_ns);

// Looks at the next `budget` slots, and gives up the buckets that are full. After the last slot
// the sweep begins again. `removed` may be null; it is how many buckets were given up.
//
// # Safety
//
// `table` is a table that no other thread uses; `removed` is null or memory for a number.
enum tg_error tg_local_sweep(struct tg_local *table,
                             uint64_t now_ns,
                             size_t budget,
                             size_t *removed);

// Makes an empty registry. Its entries live for `ttl_ns` nanoseconds; `UINT64_MAX` is for ever. A
// full one refuses a new entry if `evict` is 0, and otherwise removes the one that would expire
// soonest.
//
// # Safety
//
// `registry` is memory for a registry.
enum tg_error tg_registry_init(struct tg_registry *registry, uint64_t ttl_ns, uint32_t evict);

// Enters a value, in place of the id's if there is one, and writes the entry's lease.
//
// # Safety
//
// `registry` was made, `id` is `id_len` bytes, `lease` is memory for a lease.
enum tg_error tg_registry_advertise(struct tg_registry *registry,
                                    const char *id_at,
                                    size_t id_len,
                                    uint64_t value,
                                    uint64_t now_ns,
                                    struct tg_lease *lease);

// Writes the value that an id stands for. Returns `TG_DENIED` if there is none that lives.
//
// # Safety
//
// `registry` was made, `id` is `id_len` bytes, `value` is memory for a number.
enum tg_error tg_registry_resolve(struct tg_registry *registry,
                                  const char *id_at,
                                  size_t id_len,
                                  uint64_t now_ns,
                                  uint64_t *value);

// Renews the entry of a lease. Returns `TG_DENIED` if it has ended, was withdrawn or was replaced.
//
// # Safety
//
// `registry` was made, `lease` is of an entry of it.
enum tg_error tg_registry_renew(struct tg_registry *registry,
                                const struct tg_lease *lease,
                                uint64_t now_ns);

// Removes the entry of a lease. Returns `TG_DENIED` if it has ended, was withdrawn or was
// replaced.
//
// # Safety
//
// `registry` was made, `lease` is of an entry of it.
enum tg_error tg_registry_withdraw(struct tg_registry *registry,
                                   const struct tg_lease *lease,
                                   uint64_t now_ns);

// Removes the entries that have ended. `pruned` may be null; it is how many there were.
//
// # Safety
//
// `registry` was made, `pruned` is null or memory for a number.
enum tg_error tg_registry_prune(struct tg_registry *registry, uint64_t now_ns, size_t *pruned);

#if defined(__linux__)
// Opens the table in the file at `path`, which is created if it is not there, and writes its
// address. All processes must open it with the same settings. Its times are those of `tg_now_ns`.
//
// # Safety
//
// `path` is a C string, `settings` is valid, `opened` is memory for a pointer.
enum tg_error tg_shared_open(const char *path,
                             const struct tg_settings *settings,
                             struct tg_shared **opened);
#endif

#if defined(__linux__)
// Returns the table, for all calls that take one; null if `opened` is null. It lives until
// `tg_shared_close`.
//
// # Safety
//
// `opened` is null or was opened, and not closed.
const struct tg_table *tg_shared_table(const struct tg_shared *opened);
#endif

#if defined(__linux__)
// Closes the file. What was charged stays in it. Null is allowed.
//
// # Safety
//
// `opened` is null or was opened and not closed, and no thread uses its table.
void tg_shared_close(struct tg_shared *opened);
#endif

#if defined(__linux__)
// Returns the time of the kernel's `CLOCK_MONOTONIC`, in nanoseconds.
uint64_t tg_now_ns(void);
#endif

// Makes a slot that is free.
//
// # Safety
//
// `slot` is memory for a slot.
enum tg_error tg_slot_init(struct tg_slot *slot);

// Claims the slot until it is released, or for `lease_ns` nanoseconds if that is not 0, after
// which others may have it. Returns `TG_DENIED` if another caller has it, and `TG_REENTRANT` if
// `caller` has it already.
//
// # Safety
//
// `slot` was made and lives as long as the claim; `claim` is memory for a claim.
enum tg_error tg_slot_claim(const struct tg_slot *slot,
                            uint32_t caller,
                            uint64_t lease_ns,
                            uint64_t now_ns,
                            struct tg_claim *claim);

// Begins the lease of a claim anew. Returns `TG_DENIED` if another caller has the slot by now.
//
// # Safety
//
// `claim` was made, and not released.
enum tg_error tg_claim_renew(struct tg_claim *claim, uint64_t lease_ns, uint64_t now_ns);

// Gives the slot back. Returns `TG_DENIED` if another caller has the slot by now.
//
// # Safety
//
// `claim` was made, and not released.
enum tg_error tg_claim_release(struct tg_claim *claim);

// Returns the size of the memory for a table of `keys` keys, in bytes. Returns `SIZE_MAX` if there
// is no such memory. `TG_TABLE_SIZE(keys)` is the same number as a constant.
size_t tg_table_size(size_t keys);

// Makes an empty table in `memory`, which is `size` bytes and belongs to the table from now on.
// Writes the table's address, which is that of the memory.
//
// There is nothing to be released: the memory may be used for something else once no thread uses
// the table any more.
//
// # Safety
//
// `memory` is `size` bytes that nothing else uses, `settings` is valid, `table` is memory for a
// pointer.
enum tg_error tg_table_init(void *memory_at,
                            size_t size,
                            const struct tg_settings *settings,
                            struct tg_table **table);

// Compiles a quota for a table.
//
// # Safety
//
// `table` is a table, `quota` is valid, `plan` is memory for a plan.
enum tg_error tg_table_plan(const struct tg_table *table,
                            const struct tg_quota *quota,
                            struct tg_plan *plan);

// Charges `cost` cells to the key's bucket if the plan admits them, all or none. Returns `TG_OK`
// if the request is admitted and `TG_DENIED` if it is not. `decision` may be null.
//
// # Safety
//
// `table` is a table, `key` is `key_len` bytes, `plan` was compiled, `decision` is null or memory for
// a decision.
enum tg_error tg_table_check(const struct tg_table *table,
                             const void *key,
                             size_t key_len,
                             const struct tg_plan *plan_of,
                             uint64_t cost,
                             uint64_t now_ns,
                             struct tg_decision *decision);

// Checks each of `count` requests in order, and writes as many decisions. Returns `TG_OK` even if
// requests are denied. After an error nothing is charged, but for `TG_PANICKED`.
//
// # Safety
//
// `table` is a table, `requests` are `count` valid requests, `decisions` is memory for as many
// decisions.
enum tg_error tg_table_check_burst(const struct tg_table *table,
                                   const struct tg_request *requests,
                                   size_t count,
                                   uint64_t now_ns,
                                   struct tg_decision *decisions);

// Charges all of `count` limits, or none. Returns `TG_OK` if all admit the request and `TG_DENIED`
// if one does not: `denied_by`, which may be null, is its index. `decisions` may be null.
//
// `clock` is the clock that `now_ns` comes from, called with `context`. It is read only where a charge
// must be rolled back, because another call came between. Null: `now_ns` stands for it, and a
// rolled back charge gives back what flowed in meanwhile, too.
//
// # Safety
//
// `table` is a table, `requests` are `count` valid requests, `decisions` is null or memory for as many
// decisions, `denied_by` is null or memory for a number, `clock` is null or a function.
enum tg_error tg_table_check_all(const struct tg_table *table,
                                 const struct tg_request *requests,
                                 size_t count,
                                 uint64_t now_ns,
                                 uint64_t (*clock)(void*),
                                 void *context,
                                 struct tg_decision *decisions,
                                 size_t *denied_by);

// Writes what a check of one cell would answer. Charges nothing.
//
// # Safety
//
// As for `tg_table_check`, but `decision` is not null.
enum tg_error tg_table_peek(const struct tg_table *table,
                            const void *key,
                            size_t key_len,
                            const struct tg_plan *plan_of,
                            uint64_t now_ns,
                            struct tg_decision *decision);

// Gives back up to `cells` cells of a charge that was admitted and not used, as far as that is
// safe. A decision is to be refunded once.
//
// # Safety
//
// `table` is a table, `key` is `key_len` bytes, `decision` holds what a check of this table wrote.
enum tg_error tg_table_refund(const struct tg_table *table,
                              const void *key,
                              size_t key_len,
                              const struct tg_decision *decision,
                              uint64_t cells,
                              uint64_t now_ns);

// Makes the key's bucket full.
//
// # Safety
//
// `table` is a table, `key` is `key_len` bytes.
enum tg_error tg_table_reset(const struct tg_table *table,
                             const void *key,
                             size_t key_len,
                             uint64_t now_ns);

// Writes the number of buckets held. Looks at every set.
//
// # Safety
//
// `table` is a table, `len` is memory for a number.
enum tg_error tg_table_len(const struct tg_table *table, size_t *len);

// Charges `cost` cells as an estimate, to be settled or cancelled once. Returns `TG_OK` if it was
// charged; then the table, the plan and the reservation must stay where they are until it is
// settled. Returns `TG_DENIED` if it was not; then there is nothing to settle.
//
// # Safety
//
// As for `tg_table_check`; `reservation` is memory for a reservation.
enum tg_error tg_table_reserve(const struct tg_table *table,
                               const void *key,
                               size_t key_len,
                               const struct tg_plan *plan_of,
                               uint64_t cost,
                               uint64_t now_ns,
                               struct tg_reservation *reservation);

// Settles a reservation once, of which `actual` cells were used. 0 cancels it. `settled` may be
// null.
//
// # Safety
//
// `reservation` holds what `tg_table_reserve` wrote with `TG_OK`, and was not settled; `settled` is
// null or memory for the cells.
enum tg_error tg_reservation_settle(struct tg_reservation *reservation,
                                    uint64_t actual,
                                    uint64_t now_ns,
                                    struct tg_settled *settled);

// Begins a sweep at the table's first slot. There is nothing to be released.
//
// # Safety
//
// `table` is a table that lives as long as the sweep is used; `sweep` is memory for a sweep.
enum tg_error tg_sweep_init(const struct tg_table *table, struct tg_sweep *sweep);

// Looks at the next `budget` slots, and gives up the buckets that are full. After the last slot
// the sweep begins again. `swept` may be null.
//
// # Safety
//
// `sweep` was begun, and no other thread uses it; `swept` is null or memory for the counts.
enum tg_error tg_sweep_step(struct tg_sweep *sweep,
                            uint64_t now_ns,
                            size_t budget,
                            struct tg_swept *swept);

// Returns the `TG_ABI_VERSION` that the library was built with. A program compares it with that of
// the header it was compiled with.
uint32_t tg_abi_version(void);

// Returns the library's version, such as "0.1.0". Never null.
const char *tg_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TIDEGATE_H */

/* The sizes of the memory for `keys` keys, as constants. */
#define TG_SETS(keys) ((size_t)(keys) == 0 ? (size_t)1 : ((size_t)(keys) * 2 + 6) / 7)
#define TG_TABLE_SIZE(keys) (TG_TABLE_HEADER + TG_SETS(keys) * TG_SET_SIZE)
#define TG_LOCAL_SIZE(keys) (TG_LOCAL_HEADER + TG_SETS(keys) * TG_LOCAL_SET_SIZE)
