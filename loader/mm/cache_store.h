/*
 * What the files of the image cache share (cache.h says what the cache is). Internal to it.
 *
 * The folder holds the entries, named by the digest of their keys (and the base, for people), the
 * file "index" and, where the file system has no unnamed files, "new-..." of builders at work.
 */
#ifndef MM_CACHE_STORE_H
#define MM_CACHE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "loader/mm/cache.h"
#include "loader/mm/pages.h"

/* ---- place: the folder in use (cache_place.c, cache_open.c) -------------------------------------
 */

#define MM_CACHE_LIMIT ((uint64_t)2 << 30)

enum mm_cache_clock { MM_CACHE_CLOCK_UNKNOWN, MM_CACHE_CLOCK_FINE, MM_CACHE_CLOCK_COARSE };

struct mm_cache_place {
    int32_t references;
    int dir, index; /* -1 = there is no cache, and: */
    const char *why;
    char *path;
    uint64_t dir_dev, dir_ino, index_dev, index_ino;
    uint64_t boot;  /* 0 = it cannot be told: nothing is ever trusted */
    uint64_t limit; /* bytes */
    int clock;      /* enum mm_cache_clock: of the file system, for change times */
};

/* The place, referenced; NULL = there is no cache. */
struct mm_cache_place *mm_cache_place_get(void);
void mm_cache_place_put(struct mm_cache_place *place);
/* The folder or the index is gone: the next _get() looks for them again. */
void mm_cache_place_forget(struct mm_cache_place *place);
/* The folder is still there and nobody else's; one system call. */
bool mm_cache_place_holds(const struct mm_cache_place *place);
/* `wanted` as mm_cache_set_place() takes it. NULL = no memory. */
struct mm_cache_place *mm_cache_place_open(const char *wanted, uint64_t limit);
void mm_cache_place_close(struct mm_cache_place *place);

/* ---- names and notes (cache_page.c): no system call --------------------------------------------
 */

#define MM_CACHE_DIGEST 16u
#define MM_CACHE_NAME   80u /* room for an entry's name */

void mm_cache_name(const struct mm_cache_key *key, uint8_t digest[MM_CACHE_DIGEST],
                   char name[MM_CACHE_NAME]);
/* False: the name is none of an entry. */
bool mm_cache_name_digest(const char *name, uint8_t digest[MM_CACHE_DIGEST]);
/* Notices what happens to bytes by accident. */
uint64_t mm_cache_sum(const void *bytes, size_t size);

/* The last page of an entry, read. */
struct mm_cache_page {
    struct mm_cache_key key;
    uint64_t image_size;
    const uint8_t *note;
    uint32_t note_size;
    const char *path; /* of the image file */
    bool path_cut;    /* only its beginning */
};
/* `note_size` is at most MM_CACHE_NOTE. */
void mm_cache_page_write(uint8_t bytes[MM_PAGE], const struct mm_cache_key *key,
                         uint64_t image_size, const void *note, uint32_t note_size,
                         const char *path);
/* False: it is damaged, or none. What `out` points to lies in `bytes`. */
bool mm_cache_page_read(const uint8_t bytes[MM_PAGE], struct mm_cache_page *out);

/* ---- index (cache_index.c) ---------------------------------------------------------------------
 */

#define MM_CACHE_INDEX "index"
#define MM_CACHE_WAYS  8u

/* Both word sizes read it. */
struct mm_cache_record {
    uint8_t digest[MM_CACHE_DIGEST];
    uint64_t dev, ino; /* of the entry */
    int64_t ctime_sec;
    uint32_t ctime_nsec;
    uint32_t trusted; /* 1 = compared with the image file, or made from it, in this boot: */
    uint64_t boot;
    int64_t last_used; /* seconds of CLOCK_REALTIME */
    uint64_t sum;      /* of what stands before it */
};
/* The records that one digest may be in. */
struct mm_cache_set {
    struct mm_cache_record ways[MM_CACHE_WAYS];
};

/* Opens or makes a folder's index, by a description of its own; -1 = it cannot be had. */
int mm_cache_index_open(int dir, struct stat *st);
/* The record of a digest in a set; -1 = none. No system call. */
int mm_cache_set_find(const struct mm_cache_set *set, const uint8_t digest[MM_CACHE_DIGEST]);
/* The way that a new record takes: its own, a free one, or that which is missed least. */
uint32_t mm_cache_set_choose(const struct mm_cache_set *set, const struct mm_cache_record *record);

bool mm_cache_index_get(const struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                        struct mm_cache_record *out);
/* Fills in the sum. What cannot be written is forgotten. False: it is not our index any more. */
bool mm_cache_index_put(struct mm_cache_place *place, struct mm_cache_record *record);

/* What a process has found out of the folder's clock in this boot; false: nothing. */
bool mm_cache_index_get_clock(struct mm_cache_place *place);
void mm_cache_index_put_clock(struct mm_cache_place *place);

/* Locks a byte that stands for the digest for this description; waits for some milliseconds.
 * `*waited`: it was taken. */
bool mm_cache_index_lock(int index, const uint8_t digest[MM_CACHE_DIGEST], uint32_t milliseconds,
                         bool *waited);
/*
 * What the entries take together, kept by whoever adds one, as far as it knows; an eviction sets it
 * right. `kept`: what the last eviction had to leave. Where `index` is a description that others
 * have, too, one addition may be lost.
 */
struct mm_cache_total {
    uint64_t bytes, kept;
    uint64_t added; /* entries since the last eviction */
};
/* False: it is not known, or so many were added since that it may be off: some file systems tell
 * only later what a file takes. */
bool mm_cache_total_add(int index, uint64_t bytes, struct mm_cache_total *out);
void mm_cache_total_set(int index, const struct mm_cache_total *total);

/* ---- entries (cache_entry.c) -------------------------------------------------------------------
 */

/* Marks a description as in use, though an eviction may be looking at it just now. */
bool mm_cache_mark(int fd);
/* The file is what an entry of that size must be, and nobody else's. */
bool mm_cache_is_entry(const struct stat *st);
/* Opens the entry if there is one that fits; what else has the name goes. `page` lies in `bytes`.
 */
bool mm_cache_entry_open(struct mm_cache_place *place, const struct mm_cache_key *key,
                         const char *name, struct mm_cache_entry *out, uint8_t bytes[MM_PAGE],
                         struct mm_cache_page *page);
/* Reads and checks the last page of a file that mm_cache_is_entry(). */
bool mm_cache_entry_read(int fd, const struct stat *st, uint8_t bytes[MM_PAGE],
                         struct mm_cache_page *page);
/* Writes the record of an entry; false as mm_cache_index_put(). */
bool mm_cache_entry_record(struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                           const struct mm_cache_entry *entry);

/* ---- removal (cache_remove.c, cache_evict.c) ---------------------------------------------------
 */

/* The name goes if it still is that file's; an empty folder goes, too. */
bool mm_cache_unlink(int dir, const char *name, uint64_t dev, uint64_t ino);
enum mm_cache_fate { MM_CACHE_REMOVED, MM_CACHE_IN_USE, MM_CACHE_STAYS };
/* The same unless somebody has it marked. */
enum mm_cache_fate mm_cache_remove_unused(int dir, const char *name, uint64_t dev, uint64_t ino);
/* After a commit of an entry that takes `bytes`. `index`: a description of the caller's own, or -1:
 * that of the place if it is `ours`, else one is opened. */
void mm_cache_evict(struct mm_cache_place *place, int index, bool ours, uint64_t bytes);

/* ---- the folder's contents (cache_scan.c) ------------------------------------------------------
 */

#define MM_CACHE_LEFTOVER "new-" /* how names of unfinished files begin */

struct mm_cache_item {
    char *name;
    char *path; /* NULL = not looked at */
    uint64_t base, dev, ino, bytes;
    int64_t last_used;
    bool leftover, damaged, stale, in_use;
};
struct mm_cache_items {
    struct mm_cache_item *all;
    size_t count, room;
    uint64_t bytes; /* of all entries */
};
/*
 * What lies in the folder, by last use, the oldest first; at most `max` names of it. With `examine`
 * every file is opened and its note read. False: it cannot be read, or there is no memory.
 */
bool mm_cache_scan(struct mm_cache_place *place, bool examine, size_t max,
                   struct mm_cache_items *out);
void mm_cache_items_free(struct mm_cache_items *items);

#endif
