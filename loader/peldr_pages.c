/*
 * How much of a range of another process is resident, its own, or shared: /proc/PID/smaps says it
 * by mapping, and where a region is only a part of a mapping, /proc/PID/pagemap by page (proc(5),
 * Documentation/admin-guide/mm/pagemap.rst of the kernel).
 *
 * "Private" are pages that belong to this process alone and that no file or section has: what NT
 * calls backed by the paging file. "Shared" are resident pages that another process maps as well.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr_walk.h"

#define PAGE 4096u
/* More of one mapping than this is not looked at page by page. */
#define MAX_PARTIAL (16ull << 30)

#define ENTRY_PRESENT   (1ull << 63)
#define ENTRY_SWAPPED   (1ull << 62)
#define ENTRY_FILE      (1ull << 61)
#define ENTRY_EXCLUSIVE (1ull << 56)

struct mapping {
    uint64_t begin, end;
    struct page_counts counts;
};

struct walk_pages {
    struct mapping *mappings;
    size_t count, room, next;
    int pagemap;
};

/* ---- smaps ---- */

static bool add_mapping(struct walk_pages *pages, const struct mapping *mapping)
{
    if (pages->count == pages->room) {
        size_t room = pages->room * 2 + 256;
        struct mapping *more = realloc(pages->mappings, room * sizeof *more);
        if (!more)
            return false;
        pages->mappings = more;
        pages->room = room;
    }
    pages->mappings[pages->count++] = *mapping;
    return true;
}

/* "Private_Dirty:        16 kB" */
static void add_count(struct mapping *mapping, const char *line)
{
    static const struct {
        const char *key;
        size_t field;
    } keys[] = {
        {"Rss:", offsetof(struct page_counts, resident)},
        {"Anonymous:", offsetof(struct page_counts, private)},
        {"Shared_Clean:", offsetof(struct page_counts, shared)},
        {"Shared_Dirty:", offsetof(struct page_counts, shared)},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t length = strlen(keys[i].key);
        if (strncmp(line, keys[i].key, length) == 0)
            *(uint64_t *)((char *)&mapping->counts + keys[i].field) +=
                strtoull(line + length, NULL, 10) * 1024;
    }
}

static bool read_smaps(struct walk_pages *pages, FILE *smaps)
{
    char line[512];
    bool good = true, whole = true;
    while (good && fgets(line, sizeof line, smaps)) {
        struct mapping mapping = {0};
        bool begins = whole; /* the rest of a long path is no line of its own */
        whole = strchr(line, '\n') != NULL;
        if (!begins)
            continue;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &mapping.begin, &mapping.end) == 2)
            good = add_mapping(pages, &mapping);
        else if (pages->count)
            add_count(&pages->mappings[pages->count - 1], line);
    }
    return good;
}

struct walk_pages *peldr_pages_open(uint32_t id)
{
    char path[40];
    struct walk_pages *pages = calloc(1, sizeof *pages);
    snprintf(path, sizeof path, "/proc/%u/smaps", (unsigned)id);
    FILE *smaps = pages ? fopen(path, "re") : NULL;
    bool good = smaps && read_smaps(pages, smaps) && pages->count;
    if (smaps)
        fclose(smaps);
    if (!good) {
        if (pages)
            free(pages->mappings);
        free(pages);
        return NULL;
    }
    snprintf(path, sizeof path, "/proc/%u/pagemap", (unsigned)id);
    pages->pagemap = open(path, O_RDONLY | O_CLOEXEC);
    return pages;
}

void peldr_pages_close(struct walk_pages *pages)
{
    if (!pages)
        return;
    if (pages->pagemap >= 0)
        close(pages->pagemap);
    free(pages->mappings);
    free(pages);
}

/* ---- pagemap ---- */

static void count_entry(uint64_t entry, struct page_counts *out)
{
    bool present = entry & ENTRY_PRESENT;
    if (present)
        out->resident += PAGE;
    if ((present || (entry & ENTRY_SWAPPED)) && !(entry & ENTRY_FILE))
        out->private += PAGE;
    if (present && !(entry & ENTRY_EXCLUSIVE))
        out->shared += PAGE;
}

static bool count_pages(const struct walk_pages *pages, uint64_t begin, uint64_t end,
                        struct page_counts *out)
{
    uint64_t entries[512];
    if (pages->pagemap < 0 || end - begin > MAX_PARTIAL)
        return false;
    for (uint64_t page = begin / PAGE; page < end / PAGE;) {
        uint64_t left = end / PAGE - page;
        size_t wanted = (left < 512 ? (size_t)left : 512) * sizeof *entries;
        ssize_t got = pread(pages->pagemap, entries, wanted, (off_t)(page * sizeof *entries));
        if (got < (ssize_t)sizeof *entries)
            return false;
        for (size_t i = 0; i < (size_t)got / sizeof *entries; i++, page++)
            count_entry(entries[i], out);
    }
    return true;
}

/* ---- ranges ---- */

static void add(struct page_counts *sum, const struct page_counts *more)
{
    sum->resident += more->resident;
    sum->private += more->private;
    sum->shared += more->shared;
}

bool peldr_pages_count(struct walk_pages *pages, uint64_t begin, uint64_t end,
                       struct page_counts *out)
{
    bool known = true;
    *out = (struct page_counts){0};
    while (pages->next < pages->count && pages->mappings[pages->next].end <= begin)
        pages->next++;
    for (size_t i = pages->next; i < pages->count && pages->mappings[i].begin < end; i++) {
        const struct mapping *m = &pages->mappings[i];
        uint64_t from = m->begin > begin ? m->begin : begin, to = m->end < end ? m->end : end;
        if ((from == m->begin && to == m->end) || m->counts.resident == 0)
            add(out, &m->counts);
        else
            known = count_pages(pages, from, to, out) && known;
    }
    return known;
}
