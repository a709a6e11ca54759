/*
 * The image cache's size and contents: what goes when it is too large, in which order and what
 * never goes; lists, prune, clear.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/cache_test.h"

static struct mm_cache_entry entry;

/* What one of the entries takes on the disk. */
static uint64_t one_size(void)
{
    struct stat st;
    assert_int_equal(stat(cache_path(1), &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static bool is_there(uint32_t n)
{
    struct stat st;
    return lstat(cache_path(n), &st) == 0;
}

/* As if it had been used last so many seconds ago. */
static void use_ago(uint32_t n, int64_t seconds)
{
    struct mm_cache_place *place = mm_cache_place_get();
    struct mm_cache_record record;
    uint8_t digest[MM_CACHE_DIGEST];
    assert_true(mm_cache_name_digest(cache_name(n), digest));
    assert_true(mm_cache_index_get(place, digest, &record));
    record.last_used = time(NULL) - seconds;
    mm_cache_index_put(place, &record);
    mm_cache_place_put(place);
}

static int64_t last_use(uint32_t n)
{
    struct mm_cache_place *place = mm_cache_place_get();
    struct mm_cache_record record;
    uint8_t digest[MM_CACHE_DIGEST];
    assert_true(mm_cache_name_digest(cache_name(n), digest));
    assert_true(mm_cache_index_get(place, digest, &record));
    mm_cache_place_put(place);
    return record.last_used;
}

/* ---- eviction ----------------------------------------------------------------------------------
 */

static void test_least_recently_used_goes(void **state)
{
    cache_have(1);
    uint64_t one = one_size();
    for (uint32_t n = 2; n <= 8; n++)
        cache_have(n);
    for (uint32_t n = 1; n <= 8; n++)
        use_ago(n, n == 3 ? 10000 : n == 6 ? 9000 : n * 100);
    cache_begin_anew(8 * one); /* one more is too much; an eighth is made free */
    cache_have(9);
    assert_false(is_there(3));
    assert_false(is_there(6));
    for (uint32_t n = 1; n <= 9; n++)
        assert_int_equal(is_there(n), n != 3 && n != 6);
    cache_have(10); /* fits again */
    assert_true(is_there(8));
}

/* A find is a use, though not every one is written down. */
static void test_finding_is_using(void **state)
{
    cache_have(1);
    int64_t made = last_use(1);
    use_ago(1, 30);
    assert_true(cache_find(1, &entry));
    if (!entry.trusted) {
        const struct mm_cache_key key = cache_key(1);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        mm_cache_close(&entry);
        assert_true(cache_find(1, &entry));
        mm_cache_trust(&key, &entry);
        use_ago(1, 30);
        mm_cache_close(&entry);
        assert_true(cache_find(1, &entry));
    }
    mm_cache_close(&entry);
    assert_true(last_use(1) < made);
    use_ago(1, 100);
    assert_true(cache_find(1, &entry));
    assert_true(entry.trusted);
    mm_cache_close(&entry);
    assert_true(last_use(1) >= made);
    use_ago(1, -1000); /* the clock was set back since */
    assert_true(cache_find(1, &entry));
    mm_cache_close(&entry);
    assert_true(last_use(1) <= time(NULL));
}

/* Neither what a process has open, nor what it has mapped and closed. */
static void test_in_use_stays(void **state)
{
    struct mm_cache_entry open, mapped;
    cache_have(1);
    uint64_t one = one_size();
    for (uint32_t n = 2; n <= 4; n++)
        cache_have(n);
    assert_true(cache_find(1, &open));
    assert_true(cache_find(2, &mapped));
    void *view = mmap(NULL, MM_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, mapped.fd, 0);
    assert_ptr_not_equal(view, MAP_FAILED);
    mm_cache_close(&mapped);
    for (uint32_t n = 1; n <= 4; n++)
        use_ago(n, 1000 - n);
    cache_begin_anew(4 * one);
    cache_have(5);
    assert_true(is_there(1) && is_there(2) && is_there(5));
    assert_false(is_there(3) || is_there(4));
    munmap(view, MM_PAGE);
    mm_cache_close(&open);
    use_ago(5, 1);
    for (uint32_t n = 6; n <= 8; n++)
        cache_have(n);
    assert_false(is_there(1) || is_there(2));
}

/* All that is there is in use: the limit cannot be kept, and the new entry is there nevertheless.
 */
static void test_all_in_use(void **state)
{
    struct mm_cache_entry held[8];
    cache_have(1);
    cache_begin_anew(2 * one_size());
    for (uint32_t n = 1; n <= 8; n++)
        assert_true(cache_load(n, &held[n - 1]));
    for (uint32_t n = 1; n <= 8; n++) {
        assert_true(is_there(n));
        assert_true(cache_is_right(n, &held[n - 1]));
        mm_cache_close(&held[n - 1]);
    }
    for (uint32_t n = 9; n <= 12; n++)
        cache_have(n);
    uint32_t left = 0;
    for (uint32_t n = 1; n <= 12; n++)
        left += is_there(n);
    assert_true(left <= 2);
    assert_true(is_there(12));
}

static void test_larger_than_limit(void **state)
{
    cache_have(1);
    cache_begin_anew(one_size() - 1);
    assert_false(cache_build(2, &entry));
    assert_false(is_there(2));
    assert_true(is_there(1));
}

/* With a total that was lost the folder is read anew. */
static void test_total_lost(void **state)
{
    cache_have(1);
    uint64_t one = one_size();
    for (uint32_t n = 2; n <= 8; n++)
        cache_have(n);
    assert_int_equal(unlink(tempdir_path("cache/index")), 0);
    cache_begin_anew(4 * one);
    cache_have(9);
    uint32_t left = 0;
    for (uint32_t n = 1; n <= 9; n++)
        left += is_there(n);
    assert_in_range(left, 2, 4);
    assert_true(is_there(9));
}

/* A total that is too small is found out in the end. */
static void test_total_wrong(void **state)
{
    const struct mm_cache_total wrong = {.bytes = 1};
    struct mm_cache_total total;
    cache_have(1);
    uint64_t one = one_size(), most = 600;
    int index = open(tempdir_path("cache/index"), O_RDWR);
    cache_begin_anew(100 * one);
    for (uint32_t n = 2; n <= 200; n++)
        cache_have(n);
    for (uint32_t n = 201; n <= 200 + most; n++) {
        mm_cache_total_set(index, &(struct mm_cache_total){.added = n - 201});
        cache_have(n);
    }
    uint32_t left = 0;
    for (uint32_t n = 1; n <= 200 + most; n++)
        left += is_there(n);
    assert_in_range(left, 50, 100 + most - 512);
    mm_cache_total_set(index, &wrong);
    assert_true(mm_cache_total_add(index, 5, &total));
    assert_int_equal(total.bytes, 6);
    assert_int_equal(total.added, 1);
    close(index);
}

/* ---- lists -------------------------------------------------------------------------------------
 */

struct listed {
    uint32_t count, in_use, damaged, stale;
    char first[MM_CACHE_NAME];
    int64_t last_used;
};

static bool list_one(void *user, const struct mm_cache_info *info)
{
    struct listed *listed = user;
    if (listed->count++ == 0)
        snprintf(listed->first, sizeof(listed->first), "%s", info->name);
    listed->in_use += info->in_use;
    listed->damaged += info->damaged;
    listed->stale += info->stale;
    assert_true(info->last_used >= listed->last_used || listed->count == 1);
    listed->last_used = info->last_used;
    assert_true(info->damaged ? info->path[0] == '\0' : info->path[0] == '/');
    return true;
}

static struct listed list(void)
{
    struct listed listed = {0};
    struct pe_error err = {0};
    assert_status(mm_cache_each(list_one, &listed, &err), STATUS_SUCCESS);
    return listed;
}

/* Of a file that exists: not stale. */
static struct mm_cache_key key_of_file(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (struct mm_cache_key){.dev = st.st_dev,
                                 .ino = st.st_ino,
                                 .size = (uint64_t)st.st_size,
                                 .mtime_sec = st.st_mtim.tv_sec,
                                 .mtime_nsec = st.st_mtim.tv_nsec,
                                 .ctime_sec = st.st_ctim.tv_sec,
                                 .ctime_nsec = st.st_ctim.tv_nsec};
}

static void have_of_file(const char *path, uint64_t base)
{
    struct mm_cache_key key = key_of_file(path);
    struct mm_cache_build build;
    key.base = base;
    assert_int_equal(mm_cache_begin(&key, MM_PAGE, &build), MM_CACHE_BEGUN);
    assert_true(mm_cache_commit(&key, &build, "", 0, path, &entry));
    mm_cache_close(&entry);
}

static void test_list(void **state)
{
    assert_int_equal(list().count, 0);
    tempdir_write("image.dll", "x", 1);
    have_of_file(tempdir_path("image.dll"), 0);
    have_of_file(tempdir_path("image.dll"), 0x10000);
    assert_int_equal(list().count, 2);
    assert_int_equal(list().stale, 0);
    cache_have(1); /* of a file that does not exist */
    use_ago(1, 500);
    struct listed listed = list();
    assert_int_equal(listed.count, 3);
    assert_int_equal(listed.stale, 1);
    assert_int_equal(listed.in_use, 0);
    assert_int_equal(listed.damaged, 0);
    assert_string_equal(listed.first, cache_name(1));
    assert_true(cache_find(1, &entry));
    assert_int_equal(list().in_use, 1);
    mm_cache_close(&entry);
    tempdir_write("image.dll", "xy", 2);
    assert_int_equal(list().stale, 3);
}

static bool stop_at_once(void *user, const struct mm_cache_info *info)
{
    *(uint32_t *)user += 1;
    return false;
}

static void test_list_stops(void **state)
{
    uint32_t count = 0;
    cache_have(1);
    cache_have(2);
    assert_status(mm_cache_each(stop_at_once, &count, NULL), STATUS_SUCCESS);
    assert_int_equal(count, 1);
}

/* ---- prune and clear ---------------------------------------------------------------------------
 */

static void damage(uint32_t n)
{
    assert_int_equal(chmod(cache_path(n), 0600), 0);
    assert_int_equal(truncate(cache_path(n), 100), 0);
}

static void leave_over(const char *name, bool marked, int *fd)
{
    char path[64];
    snprintf(path, sizeof(path), "cache/%s", name);
    *fd = open(tempdir_path(path), O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(*fd >= 0);
    if (marked)
        assert_int_equal(flock(*fd, LOCK_SH), 0);
}

static void test_prune(void **state)
{
    struct mm_cache_removed removed;
    int dead, alive;
    tempdir_write("image.dll", "x", 1);
    have_of_file(tempdir_path("image.dll"), 0);
    for (uint32_t n = 1; n <= 3; n++)
        cache_have(n);
    damage(1);
    assert_true(cache_find(3, &entry)); /* stale, and in use */
    leave_over("new-dead", false, &dead);
    leave_over("new-alive", true, &alive);
    tempdir_write("cache/README", "mine", 4);
    assert_status(mm_cache_prune(UINT64_MAX, &removed, NULL), STATUS_SUCCESS);
    assert_int_equal(removed.entries, 3);
    assert_int_equal(removed.kept_in_use, 1);
    assert_true(removed.bytes > 0);
    assert_false(is_there(1) || is_there(2));
    assert_true(is_there(3));
    assert_int_equal(access(tempdir_path("cache/new-dead"), F_OK), -1);
    assert_int_equal(access(tempdir_path("cache/new-alive"), F_OK), 0);
    assert_int_equal(access(tempdir_path("cache/README"), F_OK), 0);
    assert_int_equal(list().count, 2);
    close(dead);
    close(alive);
    mm_cache_close(&entry);
}

static void test_prune_to_limit(void **state)
{
    struct mm_cache_removed removed;
    tempdir_write("image.dll", "x", 1);
    for (uint64_t base = 1; base <= 8; base++)
        have_of_file(tempdir_path("image.dll"), base << 16);
    struct mm_cache_items items;
    struct mm_cache_place *place = mm_cache_place_get();
    assert_true(mm_cache_scan(place, false, SIZE_MAX, &items));
    uint64_t all = items.bytes;
    mm_cache_items_free(&items);
    mm_cache_place_put(place);
    assert_status(mm_cache_prune(all / 2, &removed, NULL), STATUS_SUCCESS);
    assert_int_equal(removed.entries, 4);
    assert_int_equal(removed.bytes, all / 2);
    assert_int_equal(list().count, 4);
    assert_status(mm_cache_prune(0, &removed, NULL), STATUS_SUCCESS);
    assert_int_equal(list().count, 0);
}

static void test_clear(void **state)
{
    struct mm_cache_removed removed;
    for (uint32_t n = 1; n <= 5; n++)
        cache_have(n);
    damage(2);
    assert_int_equal(mkdir(cache_path(7), 0700), 0);
    assert_true(cache_find(4, &entry));
    assert_status(mm_cache_clear(&removed, NULL), STATUS_SUCCESS);
    assert_int_equal(removed.entries, 5);
    assert_int_equal(removed.kept_in_use, 1);
    assert_true(is_there(4) && cache_is_right(4, &entry));
    mm_cache_close(&entry);
    assert_status(mm_cache_clear(&removed, NULL), STATUS_SUCCESS);
    assert_int_equal(removed.entries, 1);
    assert_int_equal(list().count, 0);
    cache_have(1); /* the cache goes on */
}

/* ---- sets of the index -------------------------------------------------------------------------
 */

static struct mm_cache_record record_of(uint8_t n, uint64_t boot, int64_t last_used)
{
    struct mm_cache_record record = {.boot = boot, .last_used = last_used, .trusted = 1};
    record.digest[0] = n;
    record.sum = mm_cache_sum(&record, offsetof(struct mm_cache_record, sum));
    return record;
}

static void test_sets(void **state)
{
    struct mm_cache_set set = {0};
    struct mm_cache_record record = record_of(99, 7, 1000);
    assert_int_equal(mm_cache_set_find(&set, record.digest), -1);
    for (uint8_t i = 0; i < MM_CACHE_WAYS; i++) {
        struct mm_cache_record other = record_of(i, 7, 500 - i);
        uint32_t way = mm_cache_set_choose(&set, &other);
        assert_int_equal(way, i);
        set.ways[way] = other;
    }
    for (uint8_t i = 0; i < MM_CACHE_WAYS; i++) {
        struct mm_cache_record own = record_of(i, 7, 2000);
        assert_int_equal(mm_cache_set_find(&set, own.digest), i);
        assert_int_equal(mm_cache_set_choose(&set, &own), i);
    }
    assert_int_equal(mm_cache_set_choose(&set, &record), MM_CACHE_WAYS - 1); /* the oldest */
    set.ways[2] = record_of(2, 6, 900);                                      /* of another boot */
    assert_int_equal(mm_cache_set_choose(&set, &record), 2);
    set.ways[5].ino ^= 1; /* damaged: none */
    assert_int_equal(mm_cache_set_find(&set, set.ways[5].digest), -1);
    assert_int_equal(mm_cache_set_choose(&set, &record), 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_least_recently_used_goes),
        TEST(test_finding_is_using),
        TEST(test_in_use_stays),
        TEST(test_all_in_use),
        TEST(test_larger_than_limit),
        TEST(test_total_lost),
        TEST(test_total_wrong),
        TEST(test_list),
        TEST(test_list_stops),
        TEST(test_prune),
        TEST(test_prune_to_limit),
        TEST(test_clear),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
