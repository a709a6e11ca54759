/*
 * One image section object per image file for all processes of a user (design, decision 1).
 *
 * On Windows the section object of an image belongs to the file: a second process maps the same
 * pages. Here the object is a memfd; its last page, the label, says what it was made of, and once
 * it is sealed nobody is able to change it. A process that finds one through the registry waits for
 * the seals and compares the label with what it has read from the file itself; the registry can be
 * as wrong as it likes.
 *
 * A file that is written in place shows another change time (ctime, which nobody can set back), but
 * only as finely as the clock of the file system ticks. An object that was made within one tick of
 * the last change is therefore compared with the file, byte by byte.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"

#define SHARE_MAGIC "peldr image 1\n"

/* Clock ticks of file systems: 10 ms at CONFIG_HZ=100, and some keep whole (even) seconds only. */
#define FINE_TICK_NSEC   40000000
#define COARSE_TICK_NSEC 2500000000
/* How often and how long to sleep while another process builds: 0.2 seconds together. */
#define WAIT_ROUNDS 400
#define WAIT_NSEC   500000

_Static_assert(sizeof(struct mm_label) == 96, "both word sizes read a label");
#define IDENTITY_SIZE offsetof(struct mm_label, settled)

static const struct mm_image_registry *registry;

void mm_section_set_registry(const struct mm_image_registry *new_registry)
{
    __atomic_store_n(&registry, new_registry, __ATOMIC_RELEASE);
}

static const struct mm_image_registry *current_registry(void)
{
    return __atomic_load_n(&registry, __ATOMIC_ACQUIRE);
}

/* ---- digests --------------------------------------------------------------------------------- */

/* FNV-1a: tells files of one user apart that are not made to collide. */
static uint64_t digest(uint64_t hash, const void *bytes, uint64_t size)
{
    const uint8_t *p = bytes;

    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * 0x100000001b3ull;
    return hash;
}

/* NT headers and section table, and how the pages are divided between file and object. */
static uint64_t layout_digest(const struct mm_section *section)
{
    struct pe_span headers = section->image.bytes;
    uint64_t at = section->image.h.e_lfanew < headers.size ? section->image.h.e_lfanew : 0;
    uint64_t hash = digest(0xcbf29ce484222325ull, headers.data + at, headers.size - at);
    uint64_t windows = section->image.windows; /* the header page differs */

    hash = digest(hash, &windows, sizeof(windows));
    for (uint32_t i = 0; i < section->extent_count; i++) {
        const struct mm_extent *e = &section->extents[i];
        uint64_t fields[] = {e->rva,    e->size,    (uint64_t)e->source,
                             e->offset, e->protect, (uint64_t)(int64_t)e->pe_section};

        hash = digest(hash, fields, sizeof(fields));
    }
    return hash;
}

static uint64_t key_of(const struct mm_label *label)
{
    return digest(0xcbf29ce484222325ull, label, IDENTITY_SIZE);
}

/* ---- labels ---------------------------------------------------------------------------------- */

bool mm_file_is_settled(const struct mm_file_state *state)
{
    const struct timespec *changed = &state->st.st_ctim, *read = &state->read_at;
    int64_t tick = changed->tv_nsec == 0 ? COARSE_TICK_NSEC : FINE_TICK_NSEC;
    int64_t seconds = (int64_t)read->tv_sec - changed->tv_sec;

    if (seconds > 3600) /* keeps the product below in range */
        return true;
    return seconds >= 0 && seconds * 1000000000 + (read->tv_nsec - changed->tv_nsec) > tick;
}

static void make_label(struct mm_section *section, const struct mm_file_state *state)
{
    const struct stat *st = &state->st;

    section->label = (struct mm_label){
        .magic = SHARE_MAGIC,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .file_size = (uint64_t)st->st_size,
        .mtime_sec = st->st_mtim.tv_sec,
        .mtime_nsec = st->st_mtim.tv_nsec,
        .ctime_sec = st->st_ctim.tv_sec,
        .ctime_nsec = st->st_ctim.tv_nsec,
        .layout = layout_digest(section),
        .image_size = section->size,
        .settled = mm_file_is_settled(state),
    };
}

/* Is the file still the one that the label speaks of? */
static bool is_unchanged(const struct mm_label *label, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == label->file_size &&
           st.st_ctim.tv_sec == label->ctime_sec && st.st_ctim.tv_nsec == label->ctime_nsec;
}

void mm_share_label(struct mm_section *section, int fd)
{
    const struct mm_label *label = &section->label;

    if (section->ticket == 0)
        return;
    if (!is_unchanged(label, fd) || pwrite(section->object_fd, label, sizeof(*label),
                                           (off_t)section->size) != (ssize_t)sizeof(*label))
        mm_share_withdraw(section);
}

/* ---- finding --------------------------------------------------------------------------------- */

enum candidate { CANDIDATE_SAME, CANDIDATE_OTHER, CANDIDATE_UNFINISHED };

/* Whether the candidate is what this process would build from the file. */
static enum candidate examine(const struct mm_section *section, int object, int fd,
                              const struct mm_plan *plan)
{
    const int final = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int seals = fcntl(object, F_GET_SEALS); /* fails for what is no memfd */
    struct mm_label label;
    struct stat st;

    if (seals >= 0 && (seals & (F_SEAL_SEAL | F_SEAL_WRITE)) == 0)
        return CANDIDATE_UNFINISHED;
    if (seals < 0 || (seals & final) != final || fstat(object, &st) != 0 ||
        (uint64_t)st.st_size != section->size + MM_PAGE ||
        pread(object, &label, sizeof(label), (off_t)section->size) != (ssize_t)sizeof(label) ||
        memcmp(&label, &section->label, IDENTITY_SIZE) != 0)
        return CANDIDATE_OTHER;
    if (label.settled == 0 && !(mm_section_has_content(section, object, fd, plan, true) &&
                                is_unchanged(&section->label, fd)))
        return CANDIDATE_OTHER;
    return CANDIDATE_SAME;
}

/* Looks once; `*unfinished`: an object is being built. The descriptor, or -1. */
static int look(const struct mm_section *section, int fd, const struct mm_plan *plan,
                bool *unfinished)
{
    uint64_t key = key_of(&section->label);
    uint32_t cursor = 0;
    int object;

    *unfinished = false;
    while ((object = current_registry()->find(key, &cursor)) >= 0) {
        enum candidate found = examine(section, object, fd, plan);

        if (found == CANDIDATE_SAME)
            return object;
        *unfinished |= found == CANDIDATE_UNFINISHED;
        close(object);
    }
    return -1;
}

bool mm_share_adopt(struct mm_section *section, int fd, const struct mm_file_state *state,
                    const struct mm_plan *plan)
{
    const struct timespec pause = {.tv_nsec = WAIT_NSEC};
    bool unfinished = true;
    int object = -1;

    if (current_registry() == NULL)
        return false;
    make_label(section, state);
    /* Whoever builds seals its object without waiting for anybody; if it was stopped in between,
     * this process had better go on alone. */
    for (int i = 0; i < WAIT_ROUNDS && unfinished && object < 0; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        object = look(section, fd, plan, &unfinished);
    }
    if (object < 0)
        return false;
    section->object_fd = object;
    section->viewed = section->sealed = true;
    section->ticket = current_registry()->publish(key_of(&section->label), object, false, NULL);
    return true;
}

/* ---- being found ----------------------------------------------------------------------------- */

bool mm_share_claim(struct mm_section *section, bool first)
{
    bool other = false;

    if (current_registry() == NULL)
        return true;
    section->ticket =
        current_registry()->publish(key_of(&section->label), section->object_fd, first, &other);
    return section->ticket != 0 || !other;
}

void mm_share_withdraw(struct mm_section *section)
{
    if (section->ticket != 0)
        current_registry()->withdraw(section->ticket, section->object_fd);
    section->ticket = 0;
}
