/*
 * A cache of images in a temporary folder, and entries with a content that tells which one it is.
 */
#ifndef TESTS_UNIT_CACHE_TEST_H
#define TESTS_UNIT_CACHE_TEST_H

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

#define ENTRY_PAGES 3u

static uint8_t found_note[MM_CACHE_NOTE];
static uint32_t found_note_size;

static inline const char *cache_folder(void)
{
    return tempdir_path("cache");
}

/* As a process begins: nothing is known of the folder yet. */
static inline void cache_begin_anew(uint64_t limit)
{
    struct pe_error err = {0};
    assert_status(mm_cache_set_place(cache_folder(), limit, &err), STATUS_SUCCESS);
}

static inline int cache_setup(void **state)
{
    if (tempdir_create() != 0)
        return -1;
    cache_begin_anew(0);
    return 0;
}

static inline int cache_teardown(void **state)
{
    mm_cache_set_place("off", 0, NULL);
    return tempdir_remove();
}

static inline struct mm_cache_key cache_key(uint32_t n)
{
    return (struct mm_cache_key){
        .dev = 1, .ino = n, .size = 1000, .mtime_sec = 5, .ctime_sec = 6, .ctime_nsec = 7};
}

static inline const char *cache_name(uint32_t n)
{
    static char name[MM_CACHE_NAME];
    const struct mm_cache_key key = cache_key(n);
    uint8_t digest[MM_CACHE_DIGEST];
    mm_cache_name(&key, digest, name);
    return name;
}

/* Of the entry's file. */
static inline const char *cache_path(uint32_t n)
{
    char name[MM_CACHE_NAME + 8];
    snprintf(name, sizeof(name), "cache/%s", cache_name(n));
    return tempdir_path(name);
}

static inline void cache_fill(uint32_t n, uint8_t page[MM_PAGE])
{
    for (uint32_t i = 0; i < MM_PAGE; i++)
        page[i] = (uint8_t)(n * 31 + i + (i >> 8));
}

/* The second page stays a hole. */
static inline bool cache_write(uint32_t n, const struct mm_cache_build *build)
{
    uint8_t page[MM_PAGE];
    cache_fill(n, page);
    return pwrite(build->fd, page, sizeof(page), 0) == (ssize_t)sizeof(page) &&
           pwrite(build->fd, page, sizeof(page), 2 * MM_PAGE) == (ssize_t)sizeof(page);
}

/* Whether the entry holds what was built. Those of some tests are larger, by what stays a hole. */
static inline bool cache_is_right(uint32_t n, const struct mm_cache_entry *entry)
{
    uint8_t wanted[MM_PAGE], zero[MM_PAGE] = {0}, got[ENTRY_PAGES][MM_PAGE];
    cache_fill(n, wanted);
    return (entry->image_size == sizeof(got) || entry->image_size == MM_CACHE_TURNS) &&
           pread(entry->fd, got, sizeof(got), 0) == (ssize_t)sizeof(got) &&
           memcmp(got[0], wanted, sizeof(wanted)) == 0 && memcmp(got[1], zero, sizeof(zero)) == 0 &&
           memcmp(got[2], wanted, sizeof(wanted)) == 0;
}

static inline bool cache_commit(uint32_t n, struct mm_cache_build *build,
                                struct mm_cache_entry *out)
{
    const struct mm_cache_key key = cache_key(n);
    return mm_cache_commit(&key, build, "note", 4, "/no/such/image.dll", out);
}

/* One attempt: false = the cache cannot be used, or another was first. */
static inline bool cache_build(uint32_t n, struct mm_cache_entry *out)
{
    const struct mm_cache_key key = cache_key(n);
    struct mm_cache_build build;
    if (mm_cache_begin(&key, ENTRY_PAGES * MM_PAGE, &build) != MM_CACHE_BEGUN)
        return false;
    if (!cache_write(n, &build)) {
        mm_cache_abandon(&build);
        return false;
    }
    return cache_commit(n, &build, out);
}

static inline bool cache_find(uint32_t n, struct mm_cache_entry *out)
{
    const struct mm_cache_key key = cache_key(n);
    return mm_cache_find(&key, out, found_note, &found_note_size);
}

/* As the loader does it: found and trusted, found and compared, or built; the right image in any
 * case, or no entry. */
static inline bool cache_load(uint32_t n, struct mm_cache_entry *out)
{
    const struct mm_cache_key key = cache_key(n);
    if (cache_find(n, out)) {
        if (out->trusted)
            return true;
        if (cache_is_right(n, out)) {
            mm_cache_trust(&key, out);
            return true;
        }
        mm_cache_reject(&key, out);
    }
    return cache_build(n, out) || (cache_find(n, out) && cache_is_right(n, out));
}

/* Builds it and leaves it there. */
static inline void cache_have(uint32_t n)
{
    struct mm_cache_entry entry;
    assert_true(cache_build(n, &entry));
    mm_cache_close(&entry);
}

#endif
