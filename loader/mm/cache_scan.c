/*
 * What lies in the image cache's folder (cache_store.h): for lists, and for whoever makes room.
 *
 * Names that are neither an entry's nor a leftover's are nobody's business.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

/* ---- one file -------------------------------------------------------------------------------- */

/* The image file is gone or was changed since. */
static bool is_stale(const struct mm_cache_page *page)
{
    const struct mm_cache_key *key = &page->key;
    struct stat st;

    if (page->path[0] != '/' || page->path_cut)
        return false; /* cannot be told */
    if (stat(page->path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    return st.st_dev != key->dev || st.st_ino != key->ino || (uint64_t)st.st_size != key->size ||
           st.st_mtim.tv_sec != key->mtime_sec || st.st_mtim.tv_nsec != key->mtime_nsec ||
           st.st_ctim.tv_sec != key->ctime_sec || st.st_ctim.tv_nsec != key->ctime_nsec;
}

/* Reads the note. */
static void read_note(int fd, const struct stat *st, struct mm_cache_item *item)
{
    uint8_t bytes[MM_PAGE], digest[MM_CACHE_DIGEST];
    struct mm_cache_page page;
    char name[MM_CACHE_NAME];

    item->damaged = true;
    if (!mm_cache_is_entry(st) || !mm_cache_entry_read(fd, st, bytes, &page))
        return;
    mm_cache_name(&page.key, digest, name);
    item->damaged = strcmp(name, item->name) != 0;
    if (item->damaged)
        return;
    item->base = page.key.base;
    item->stale = is_stale(&page);
    item->path = strdup(page.path);
}

static void examine(int dir, struct mm_cache_item *item)
{
    int fd = openat(dir, item->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    item->damaged = true;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0) {
        item->in_use = S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) != 0;
        read_note(fd, &st, item);
    }
    close(fd);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static struct mm_cache_item *add(struct mm_cache_items *items, const char *name)
{
    struct mm_cache_item *item;

    if (items->count == items->room) {
        size_t room = items->room * 2 + 64;
        struct mm_cache_item *more = realloc(items->all, room * sizeof(*more));

        if (more == NULL)
            return NULL;
        items->all = more;
        items->room = room;
    }
    item = &items->all[items->count];
    *item = (struct mm_cache_item){.name = strdup(name)};
    if (item->name == NULL)
        return NULL;
    items->count++;
    return item;
}

/* The index knows the last use; an entry that it has lost was made some time. */
static int64_t last_use(struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                        const struct stat *st)
{
    struct mm_cache_record record;

    return mm_cache_index_get(place, digest, &record) && record.ino == st->st_ino
               ? record.last_used
               : st->st_ctim.tv_sec;
}

static bool look_at(struct mm_cache_place *place, const char *name, bool with_note,
                    struct mm_cache_items *items)
{
    bool leftover = strncmp(name, MM_CACHE_LEFTOVER, strlen(MM_CACHE_LEFTOVER)) == 0;
    uint8_t digest[MM_CACHE_DIGEST];
    struct mm_cache_item *item;
    struct stat st;

    if ((!leftover && !mm_cache_name_digest(name, digest)) ||
        fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    item = add(items, name);
    if (item == NULL)
        return false;
    item->dev = st.st_dev;
    item->ino = st.st_ino;
    item->bytes = (uint64_t)st.st_blocks * 512;
    item->leftover = leftover;
    item->last_used = leftover ? st.st_ctim.tv_sec : last_use(place, digest, &st);
    items->bytes += item->bytes;
    if (!leftover && with_note)
        examine(place->dir, item);
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct mm_cache_item *first = a, *second = b;

    if (first->last_used != second->last_used)
        return first->last_used < second->last_used ? -1 : 1;
    return strcmp(first->name, second->name);
}

bool mm_cache_scan(struct mm_cache_place *place, bool with_note, size_t max,
                   struct mm_cache_items *out)
{
    int fd = openat(place->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool ok = true;

    *out = (struct mm_cache_items){0};
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (size_t seen = 0; ok && seen < max && (entry = readdir(dir)) != NULL; seen++)
        ok = look_at(place, entry->d_name, with_note, out);
    closedir(dir);
    if (!ok)
        mm_cache_items_free(out);
    else if (out->count != 0)
        qsort(out->all, out->count, sizeof(*out->all), compare);
    return ok;
}

void mm_cache_items_free(struct mm_cache_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->all[i].name);
        free(items->all[i].path);
    }
    free(items->all);
    *items = (struct mm_cache_items){0};
}
