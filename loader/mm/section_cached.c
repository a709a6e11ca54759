/*
 * Image section objects that are entries of the cache (cache.h): opened by what the entry says of
 * itself, compared with the image file when it is not trusted, or built.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"

/* Changes with the meaning of an entry's pages or of its note. */
#define LAYOUT_VERSION 1u
/* Another process may be building the same, or throwing away what it found. */
#define MAX_ROUNDS 3

struct mm_cache_key mm_cached_key(const struct stat *st, const char *name, enum pe_windows windows)
{
    const char *slash = strrchr(name, '/');
    struct mm_cache_key key = {
        .dev = st->st_dev,
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_sec = st->st_mtim.tv_sec,
        .mtime_nsec = st->st_mtim.tv_nsec,
        .ctime_sec = st->st_ctim.tv_sec,
        .ctime_nsec = st->st_ctim.tv_nsec,
        .windows = windows,
        .layout = LAYOUT_VERSION,
    };

    name = slash != NULL ? slash + 1 : name;
    memcpy(key.name, name, strnlen(name, sizeof(key.name)));
    return key;
}

void mm_cached_use(struct mm_section *section, const struct mm_cache_key *key,
                   const struct mm_cache_entry *entry)
{
    section->entry = *entry;
    section->object_fd = entry->fd;
    section->cached = section->viewed = section->sealed = true;
    mm_section_set_file(section, key);
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool uses_file(const struct mm_section *section)
{
    for (uint32_t i = 0; i < section->extent_count; i++)
        if (section->extents[i].source == MM_SOURCE_FILE)
            return true;
    return false;
}

/*
 * A description of the section's own: that of the caller says that the file is mapped
 * (ob/fileshare.h), and the section may stay open longer.
 */
static bool keep_file(struct mm_section *section, int fd)
{
    char self[32];

    if (!uses_file(section))
        return true;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    section->file_fd = mm_file_is_mappable(fd) ? open(self, O_RDONLY | O_CLOEXEC) : -1;
    return section->file_fd >= 0;
}

struct mm_section *mm_cached_take(const struct mm_cache_key *key, struct mm_cache_entry *entry,
                                  const uint8_t *note, uint32_t note_size, int fd, const char *name)
{
    struct mm_section *section = mm_section_alloc(name);
    bool settled;

    if (section == NULL) {
        mm_cache_close(entry);
        return NULL;
    }
    mm_cached_use(section, key, entry);
    if (mm_note_read(section, note, note_size, (enum pe_windows)key->windows, &settled) &&
        settled && section->size == entry->image_size && section->moved == (key->base != 0) &&
        keep_file(section, fd)) {
        mm_section_settle(section);
        section->reusable = true;
        return section;
    }
    mm_section_unref(section);
    return NULL;
}

struct mm_section *mm_cached_open(const struct mm_cache_key *key, int fd, const char *name,
                                  bool *absent)
{
    struct mm_section *section = mm_known_take(key, name);
    uint8_t note[MM_CACHE_NOTE];
    struct mm_cache_entry entry;
    uint32_t note_size;

    if (section != NULL && section->later != NULL)
        mm_later_offer(section, fd);
    *absent = section == NULL && !mm_cache_find(key, &entry, note, &note_size);
    if (section != NULL || *absent)
        return section;
    if (entry.trusted)
        return mm_cached_take(key, &entry, note, note_size, fd, name);
    mm_cache_close(&entry);
    return NULL;
}

/* ---- comparing and building ------------------------------------------------------------------ */

bool mm_cached_unchanged(const struct mm_cache_key *key, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == key->size &&
           st.st_ctim.tv_sec == key->ctime_sec && st.st_ctim.tv_nsec == key->ctime_nsec;
}

/* True when the entry of the key is what this process would build, which it has found out now. */
static bool adopt(struct mm_section *section, const struct mm_cache_key *key, int fd,
                  const uint8_t *note, uint32_t size, const struct mm_plan *plan)
{
    uint8_t theirs[MM_CACHE_NOTE];
    struct mm_cache_entry entry;
    uint32_t their_size;

    if (!mm_cache_find(key, &entry, theirs, &their_size))
        return false;
    if (entry.image_size != section->size || their_size != size ||
        memcmp(theirs, note, size) != 0 ||
        !mm_section_has_content(section, entry.fd, fd, plan, false) ||
        !mm_cached_unchanged(key, fd)) {
        mm_cache_reject(key, &entry);
        return false;
    }
    mm_cache_trust(key, &entry);
    if (!entry.trusted) { /* somebody writes to it */
        mm_cache_reject(key, &entry);
        return false;
    }
    mm_cached_use(section, key, &entry);
    return true;
}

static bool build(struct mm_section *section, const struct mm_cache_key *key,
                  struct mm_cache_build *build, struct pe_span bytes, int fd, const uint8_t *note,
                  uint32_t size, const struct mm_plan *plan)
{
    struct mm_cache_entry entry;

    if (!nt_ok(mm_section_write_pieces(build->fd, bytes, fd, plan, MM_PIECES_ALL)) ||
        !mm_cached_unchanged(key, fd)) {
        mm_cache_abandon(build);
        return false;
    }
    if (!mm_cache_commit(key, build, note, size, section->name, &entry))
        return false;
    mm_cached_use(section, key, &entry);
    return true;
}

bool mm_cached_adopt_or_build(struct mm_section *section, struct pe_span bytes, int fd,
                              const struct mm_file_state *state, const struct mm_plan *plan)
{
    struct mm_cache_key key = mm_cached_key(&state->st, section->name, section->image.windows);
    uint8_t note[MM_CACHE_NOTE];
    bool settled = mm_file_is_settled(state), done = false;
    uint32_t size = mm_note_write(section, settled, note);

    for (int round = 0; size != 0 && !done && round < MAX_ROUNDS; round++) {
        struct mm_cache_build work;
        enum mm_cache_begun begun;

        done = (round > 0 || !state->absent) && adopt(section, &key, fd, note, size, plan);
        if (done)
            break;
        begun = mm_cache_begin(&key, section->size, &work);
        if (begun == MM_CACHE_UNUSABLE)
            break;
        if (begun == MM_CACHE_BEGUN)
            done = build(section, &key, &work, bytes, fd, note, size, plan);
    }
    section->reusable = done && settled && keep_file(section, fd);
    return done;
}
