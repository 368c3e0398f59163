// A C++ program that includes the header, links the library and shares a table between threads.
#include "tidegate.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

int main() {
    const tg_quota quota{1000, UINT64_C(1000000000), 0, 0, 0};
    tg_settings settings{};
    settings.keys = 100;
    settings.seed = 42;
    settings.quotas = &quota;
    settings.quota_count = 1;

    const std::size_t size = tg_table_size(settings.keys);
    const std::unique_ptr<void, decltype(&std::free)> memory(
        std::aligned_alloc(TG_TABLE_ALIGN, size), &std::free);
    tg_table *table = nullptr;
    tg_plan plan;
    if (tg_table_init(memory.get(), size, &settings, &table) != TG_OK ||
        tg_table_plan(table, &quota, &plan) != TG_OK) {
        return 1;
    }
    std::atomic<unsigned> admitted{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; thread++) {
        threads.emplace_back([&] {
            for (int check = 0; check < 1000; check++) {
                admitted += tg_table_check(table, "alice", 5, &plan, 1, 1, nullptr) == TG_OK;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    return admitted == 1000 ? 0 : 2;
}
