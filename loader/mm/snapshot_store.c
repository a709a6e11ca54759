/*
 * Keeping the state of a range (snapshot.h): private pages go into the store and are mapped from
 * there, so that they are clean again.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/mm/poison.h"
#include "loader/mm/scan.h"
#include "loader/mm/snapshot_object.h"
#include "loader/mm/view_object.h"

/* The kernel limits the number of mappings, so clean pages between private ones are kept with them
 * where there are many. */
#define MANY_RUNS 512u
#define WIDE_GAP  (16 * MM_PAGE)

/* What the store can become; it takes memory only where it is written. */
#if UINTPTR_MAX > 0xFFFFFFFFu
#define STORE_SIZE (1ull << 46)
#else
#define STORE_SIZE (1ull << 40)
#endif

struct runs {
    struct mm_span *run;
    size_t count, room;
    uint64_t gap;
    bool failed;
};

int mm_kept_prot(const struct mm_range *range, uint64_t page)
{
    if (range->view != NULL && range->view->open)
        return PROT_READ | PROT_WRITE;
    return mm_attr_prot(range->attr[page]);
}

/* ---- the store -------------------------------------------------------------------------------
 */

static struct mm_store *current;
static unsigned forks; /* of this process and of those that it comes from */

static void note_fork(void)
{
    forks++;
}

/* False: a process on the other side of a fork() has pages mapped from it. */
static bool is_own(const struct mm_store *store)
{
    return store->forks == forks;
}

static void store_unref(struct mm_store *store)
{
    if (store == NULL || --store->references != 0)
        return;
    if (current == store)
        current = NULL;
    close(store->fd);
    free(store);
}

static void watch_forks(void)
{
    pthread_atfork(note_fork, NULL, NULL);
}

/* The store that this process may write, with a reference. */
static nt_status store_ref(struct mm_store **out, struct pe_error *err)
{
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    struct mm_store *store = current;
    nt_status status;

    pthread_once(&watched, watch_forks);
    if (store != NULL && is_own(store)) {
        store->references++;
        *out = store;
        return STATUS_SUCCESS;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    status = mm_host_memory("peldr:snapshot", STORE_SIZE, false, &store->fd, err);
    if (!nt_ok(status)) {
        free(store);
        return status;
    }
    store->forks = forks;
    store->references = 1;
    *out = current = store;
    return STATUS_SUCCESS;
}

/* Gives `kept` a place in a store that this process may write. */
static nt_status place(struct mm_kept *kept, struct pe_error *err)
{
    struct mm_store *store = NULL;
    nt_status status;

    if (kept->stored == NULL)
        kept->stored = calloc((size_t)(kept->size / MM_PAGE + 7) / 8, 1);
    if (kept->stored == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    if (kept->store != NULL && is_own(kept->store))
        return STATUS_SUCCESS;
    status = store_ref(&store, err);
    if (!nt_ok(status))
        return status;
    if (kept->size > STORE_SIZE - store->used) {
        store_unref(store);
        return pe_fail(err, STATUS_COMMITMENT_LIMIT, "a snapshot has no room for 0x%llx bytes",
                       (unsigned long long)kept->size);
    }
    store_unref(kept->store);
    kept->store = store;
    kept->offset = store->used;
    store->used += kept->size;
    return STATUS_SUCCESS;
}

void mm_kept_free(struct mm_kept *kept)
{
    struct mm_store *store = kept->store;

    if (kept->range != NULL)
        kept->range->kept = NULL;
    if (store != NULL && is_own(store))
        fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)kept->offset,
                  (off_t)kept->size);
    store_unref(store);
    mm_heat_free(kept);
    free(kept->spans);
    free(kept->stored);
    free(kept->attr);
    free(kept);
}

/* ---- which pages -------------------------------------------------------------------------------
 */

static bool add_run(void *user, uint64_t at, uint64_t size)
{
    struct runs *runs = user;

    if (runs->count != 0 && at - runs->run[runs->count - 1].end <= runs->gap) {
        runs->run[runs->count - 1].end = at + size;
        return true;
    }
    if (runs->count == runs->room) {
        size_t room = runs->room ? 2 * runs->room : 64;
        struct mm_span *grown = realloc(runs->run, room * sizeof(*grown));

        runs->failed = grown == NULL;
        if (grown == NULL)
            return false;
        runs->run = grown;
        runs->room = room;
    }
    runs->run[runs->count++] = (struct mm_span){at, at + size};
    return true;
}

/* Images see that these pages are copies of their own, whatever the kernel says from now on. */
static bool mark_written(void *user, uint64_t at, uint64_t size)
{
    struct mm_range *range = user;

    for (uint64_t page = mm_range_page(range, at), end = page + size / MM_PAGE; page < end; page++)
        range->attr[page] |= MM_ATTR_WRITTEN;
    return true;
}

static void merge_runs(struct runs *runs)
{
    struct runs merged = {.run = runs->run, .room = runs->room, .gap = WIDE_GAP};

    for (size_t i = 0; i < runs->count; i++)
        add_run(&merged, runs->run[i].base, runs->run[i].end - runs->run[i].base);
    runs->count = merged.count;
}

/* Content that this process cannot give back again by itself: in a store that a fork() has
 * taken from it, or written over what the store has. */
static bool find_stale(const struct mm_kept *kept, struct runs *runs)
{
    uint64_t end = kept->size / MM_PAGE;

    if (kept->stored == NULL || (!kept->replaced && is_own(kept->store)))
        return true;
    for (uint64_t page = 0; page < end; page++)
        if (mm_kept_stored(kept, page) && !add_run(runs, kept->base + page * MM_PAGE, MM_PAGE))
            return false;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct mm_span *x = a, *y = b;

    return (x->base > y->base) - (x->base < y->base);
}

static nt_status find_runs(const struct mm_kept *kept, struct mm_range *range, struct runs *runs,
                           struct pe_error *err)
{
    uint64_t end = mm_range_end(range);

    if (range->kind != MM_RANGE_PRIVATE && !mm_scan_private(range->base, end, mark_written, range))
        return pe_fail(err, STATUS_NOT_SUPPORTED,
                       "/proc/self/pagemap does not tell which pages were written");
    if (mm_scan_private(range->base, end, add_run, runs) && find_stale(kept, runs)) {
        if (runs->count > MANY_RUNS) {
            qsort(runs->run, runs->count, sizeof(*runs->run), by_address);
            merge_runs(runs);
        }
        return STATUS_SUCCESS;
    }
    return pe_fail(err, runs->failed ? STATUS_NO_MEMORY : STATUS_NOT_SUPPORTED,
                   runs->failed ? "no memory for a snapshot"
                                : "/proc/self/pagemap does not tell which pages were written");
}

/* ---- into the store ----------------------------------------------------------------------------
 */

static bool is_zero(uint64_t at)
{
    const char *page = mm_ptr(at);

    return page[0] == 0 && memcmp(page, page + 1, (size_t)MM_PAGE - 1) == 0;
}

static bool write_all(int fd, uint64_t at, uint64_t size, uint64_t offset)
{
    while (size != 0) {
        ssize_t done = pwrite(fd, mm_ptr(at), (size_t)size, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += (uint64_t)done;
        offset += (uint64_t)done;
        size -= (uint64_t)done;
    }
    return true;
}

/* Pages of one host protection. */
static bool store_piece(struct mm_kept *kept, uint64_t at, uint64_t end, int prot)
{
    uint64_t offset = kept->offset + (at - kept->base);

    if (!write_all(kept->store->fd, at, end - at, offset) ||
        mmap(mm_ptr(at), (size_t)(end - at), prot, MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE,
             kept->store->fd, (off_t)offset) == MAP_FAILED)
        return false;
    for (uint64_t page = (at - kept->base) / MM_PAGE; at < end; at += MM_PAGE, page++)
        kept->stored[page / 8] |= (uint8_t)(1u << page % 8);
    return true;
}

/* Untouched memory of an allocation: zeroes come back by themselves. */
static bool drop_zeroes(struct mm_kept *kept, uint64_t at)
{
    return kept->kind == MM_RANGE_PRIVATE && !mm_kept_stored(kept, (at - kept->base) / MM_PAGE) &&
           is_zero(at) && madvise(mm_ptr(at), (size_t)MM_PAGE, MADV_DONTNEED) == 0;
}

/* Pages of one host protection, which allows reading by now. */
static bool store_pages(struct mm_kept *kept, uint64_t at, uint64_t end, int prot)
{
    uint64_t first = at;

    for (; at < end; at += MM_PAGE) {
        if (!drop_zeroes(kept, at))
            continue;
        if (at > first && !store_piece(kept, first, at, prot))
            return false;
        first = at + MM_PAGE;
    }
    return at == first || store_piece(kept, first, at, prot);
}

static bool store_run(struct mm_kept *kept, const struct mm_range *range, struct mm_span run)
{
    uint64_t at = run.base, end;

    for (; at < run.end; at = end) {
        int prot = mm_kept_prot(range, mm_range_page(range, at));
        bool closed = !(prot & PROT_READ);

        for (end = at + MM_PAGE;
             end < run.end && mm_kept_prot(range, mm_range_page(range, end)) == prot;)
            end += MM_PAGE;
        if (closed && mprotect(mm_ptr(at), (size_t)(end - at), PROT_READ) != 0)
            return false;
        if (!store_pages(kept, at, end, prot) ||
            (closed && mprotect(mm_ptr(at), (size_t)(end - at), prot) != 0))
            return false;
    }
    return true;
}

static nt_status store_runs(struct mm_kept *kept, const struct mm_range *range,
                            const struct runs *runs, struct pe_error *err)
{
    nt_status status = runs->count != 0 ? place(kept, err) : STATUS_SUCCESS;

    for (size_t i = 0; nt_ok(status) && i < runs->count; i++)
        if (!store_run(kept, range, runs->run[i]))
            status = pe_fail(err, mm_status_of_errno(errno), "a snapshot of 0x%llx-0x%llx: %s",
                             (unsigned long long)runs->run[i].base,
                             (unsigned long long)runs->run[i].end - 1, strerror(errno));
    return status;
}

/* What can be written is most often a small part of a view, or of an arena of a heap. */
static void find_spans(struct mm_kept *kept, const struct mm_range *range)
{
    uint64_t pages = range->size / MM_PAGE;
    struct runs runs = {.gap = WIDE_GAP};

    free(kept->spans);
    kept->spans = NULL;
    kept->span_count = 0;
    if (range->kind == MM_RANGE_DATA)
        return;
    for (uint64_t page = 0; page < pages && !runs.failed; page++)
        if (mm_kept_prot(range, page) & PROT_WRITE)
            add_run(&runs, range->base + page * MM_PAGE, MM_PAGE);
    if (runs.failed) {
        free(runs.run);
        return;
    }
    kept->spans = runs.run;
    kept->span_count = (uint32_t)runs.count;
}

nt_status mm_kept_fill(struct mm_kept *kept, struct mm_range *range, struct pe_error *err)
{
    size_t pages = (size_t)(range->size / MM_PAGE);
    struct runs runs = {0};
    nt_status status = STATUS_SUCCESS;

    mm_heat_free(kept);
    kept->base = range->base;
    kept->size = range->size;
    kept->kind = range->kind;
    kept->allocation_protect = range->allocation_protect;
    if (kept->attr == NULL)
        kept->attr = malloc(pages);
    if (kept->attr == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    /* A huge page would be dropped, and cleared again, for each word that is written in it. */
    if (range->kind == MM_RANGE_PRIVATE) {
        madvise(mm_ptr(range->base), (size_t)range->size, MADV_NOHUGEPAGE);
        mm_unpoison(mm_ptr(range->base), (size_t)range->size); /* it is read as pages */
    }
    status = find_runs(kept, range, &runs, err);
    if (nt_ok(status))
        status = store_runs(kept, range, &runs, err);
    free(runs.run);
    memcpy(kept->attr, range->attr, pages);
    find_spans(kept, range);
    kept->replaced = !nt_ok(status);
    kept->touched = false;
    return status;
}
