/*
 * Image section objects whose object is made when the place of the first view is known.
 *
 * An image whose preferred base is taken is going to be relocated: its pages are written once, into
 * the entry of the cache that holds its relocated form (section_relocated.c), and those as the file
 * has them when somebody needs them. Until then the section has headers and extents.
 *
 * Large data goes from the file into memory of the view, in huge pages where there are any, as most
 * of its pages are expected to have fixups: so it is written to the object once, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/held.h"
#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"
#include "loader/mm/view_object.h"
#include "pe/rules.h"

/* Of a piece that is had apart, and of all of them: memory that a process has for a moment. */
#define APART_LEAST 0x200000u
#define APART_MOST  0x4000000u

struct mm_later {
    int fd;      /* of the file, until the section is final; -1 = none */
    int offered; /* then that of who loads the file again, who keeps it open meanwhile */
    struct mm_file_state state;
    struct mm_plan plan;
    bool begun;                    /* the section's object is that of: */
    struct mm_cache_build pending; /* as the file has it, without a name */
    bool served;                   /* a view got the relocated form */
};

/* What begins where the image is to begin: that is what two images of one base have in common.
 * Memory that is held for images can be had (held.h). */
bool mm_section_base_taken(const struct mm_section *section)
{
    uint64_t base = section->image.h.image_base;

    /* Asynchronous, msync() does nothing but to look for a mapping; mincore() takes twice as long.
     */
    return base % MM_PAGE == 0 && mm_in_user_space(base, section->size) && !mm_held_any() &&
           msync(mm_ptr(base), (size_t)MM_PAGE, MS_ASYNC) == 0;
}

/* A relocated form is going to be wanted, and all of its pages are in the object. */
static bool suits(const struct mm_section *section, const struct mm_file_state *state,
                  const struct mm_plan *plan)
{
    const struct pe_image *image = &section->image;
    uint8_t note[MM_CACHE_NOTE];

    return state->absent && mm_cache_is_there() && !plan->uses_file && plan->shared_size == 0 &&
           (image->h.characteristics & IMAGE_FILE_DLL) != 0 &&
           (image->h.characteristics & IMAGE_FILE_RELOCS_STRIPPED) == 0 &&
           image->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size != 0 && !pe_is_flat(image) &&
           !pe_must_move(image) && mm_section_base_taken(section) &&
           mm_note_write(section, true, note) != 0;
}

static void choose_apart(struct mm_plan *plan)
{
    uint64_t all = 0;

    for (uint32_t i = 0; i < plan->count; i++) {
        struct mm_plan_piece *piece = &plan->pieces[i];

        piece->apart = piece->extent.protect == PAGE_WRITECOPY && piece->data_size >= APART_LEAST &&
                       piece->data_size <= piece->extent.size &&
                       all + piece->data_size <= APART_MOST && mm_have_huge_pages();
        if (piece->apart)
            all += piece->data_size;
    }
}

bool mm_later_begin(struct mm_section *section, int fd, const struct mm_file_state *state,
                    struct mm_plan *plan)
{
    struct mm_later *later;

    if (!suits(section, state, plan) || (later = calloc(1, sizeof(*later))) == NULL)
        return false;
    later->offered = -1;
    later->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (later->fd < 0) {
        free(later);
        return false;
    }
    later->state = *state;
    later->state.absent = false; /* by then */
    later->plan = *plan;
    *plan = (struct mm_plan){0};
    section->later = later;
    section->viewed = section->sealed = true;
    section->reusable = mm_file_is_settled(state);
    return true;
}

/* A number that is another file's by now is -1. */
static int file_of(const struct mm_later *later)
{
    int fd = later->fd >= 0 ? later->fd : later->offered;
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == later->state.st.st_dev &&
                   st.st_ino == later->state.st.st_ino
               ? fd
               : -1;
}

void mm_later_offer(struct mm_section *section, int fd)
{
    section->later->offered = fd;
}

static void drop_pending(struct mm_section *section)
{
    struct mm_later *later = section->later;

    if (!later->begun)
        return;
    mm_cache_abandon(&later->pending);
    later->begun = false;
    section->object_fd = -1;
}

void mm_later_end(struct mm_section *section)
{
    struct mm_later *later = section->later;

    if (later == NULL)
        return;
    drop_pending(section);
    mm_plan_free(&later->plan);
    if (later->fd >= 0)
        close(later->fd);
    free(later);
    section->later = NULL;
}

/* What has been written for a relocated form becomes the entry of the image as it is. */
static bool commit_plain(struct mm_section *section)
{
    struct mm_later *later = section->later;
    uint8_t note[MM_CACHE_NOTE];
    struct pe_span bytes = {NULL, (uint64_t)later->state.st.st_size};
    struct mm_cache_build pending = later->pending;
    struct mm_cache_entry entry;
    uint32_t size = mm_note_write(section, mm_file_is_settled(&later->state), note);

    if (!later->begun)
        return false;
    later->begun = false;
    section->object_fd = -1;
    if (!nt_ok(mm_section_write_pieces(pending.fd, bytes, file_of(later), &later->plan,
                                       MM_PIECES_APART)) ||
        !mm_cached_unchanged(&section->cache_key, file_of(later))) {
        mm_cache_abandon(&pending);
        return false;
    }
    if (!mm_cache_commit(&section->cache_key, &pending, note, size, section->name, &entry))
        return false;
    mm_cached_use(section, &section->cache_key, &entry);
    return true;
}

nt_status mm_later_build(struct mm_section *section, struct pe_error *err)
{
    struct mm_later *later = section->later;
    struct pe_span bytes = {NULL, (uint64_t)later->state.st.st_size};
    nt_status status = STATUS_SUCCESS;
    int fd = file_of(later);

    if (fd < 0)
        return pe_fail(err, STATUS_INVALID_HANDLE, "%s: the image file is not open any more",
                       section->name);
    if (!commit_plain(section)) {
        section->viewed = section->sealed = false;
        status = mm_section_find_or_build(section, bytes, fd, &later->state, &later->plan, err);
    }
    if (nt_ok(status))
        mm_later_end(section);
    else
        section->viewed = section->sealed = true;
    return status;
}

nt_status mm_later_finish(struct mm_section *section, struct pe_error *err)
{
    struct mm_later *later = section->later;

    if (later == NULL)
        return STATUS_SUCCESS;
    if (!later->served || later->begun)
        return mm_later_build(section, err);
    if (later->fd >= 0)
        close(later->fd);
    later->fd = later->offered = -1;
    return STATUS_SUCCESS;
}

bool mm_later_lay_out(struct mm_section *section, uint64_t base, bool *again)
{
    struct mm_later *later = section->later;
    struct pe_span bytes = {NULL, (uint64_t)later->state.st.st_size};
    struct mm_cache_key key = section->cache_key;
    enum mm_cache_begun begun;

    *again = false;
    if (later->begun)
        return true;
    key.base = base;
    begun = mm_cache_begin(&key, section->size, &later->pending);
    *again = begun == MM_CACHE_LOOK_AGAIN;
    if (begun != MM_CACHE_BEGUN)
        return false;
    later->begun = true;
    section->object_fd = later->pending.fd;
    choose_apart(&later->plan);
    if (nt_ok(mm_section_write_pieces(section->object_fd, bytes, file_of(later), &later->plan,
                                      MM_PIECES_TOGETHER)) &&
        mm_cached_unchanged(&section->cache_key, file_of(later)))
        return true;
    drop_pending(section);
    return false;
}

static nt_status read_piece(int fd, const struct mm_plan_piece *piece, uint8_t *to)
{
    uint64_t done = 0;

    while (done < piece->data_size) {
        ssize_t got = pread(fd, to + done, (size_t)(piece->data_size - done),
                            (off_t)(piece->data_offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? mm_status_of_errno(errno) : (nt_status)STATUS_END_OF_FILE;
        done += (uint64_t)got;
    }
    return STATUS_SUCCESS;
}

nt_status mm_later_fill(struct mm_view *view, struct pe_error *err)
{
    const struct mm_later *later = view->section->later;
    nt_status status = STATUS_SUCCESS;

    for (uint32_t i = 0; later != NULL && i < later->plan.count && nt_ok(status); i++) {
        const struct mm_plan_piece *piece = &later->plan.pieces[i];
        size_t size = (size_t)mm_round_up(piece->data_size, MM_PAGE);
        uint8_t *to = mm_ptr(view->range.base + piece->extent.rva);

        if (!piece->apart)
            continue;
        if (mmap(to, size, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED) {
            status = mm_status_of_errno(errno);
        } else {
            madvise(to, size, MADV_HUGEPAGE); /* or without */
            status = read_piece(file_of(later), piece, to);
        }
    }
    if (!nt_ok(status))
        return pe_fail(err, status, "%s: the content of a PE section cannot be had: %s",
                       view->section->name, nt_status_text(status));
    return status;
}

uint32_t mm_later_unfilled(const struct mm_section *section, uint32_t rva, uint32_t len)
{
    const struct mm_later *later = section->later;

    for (uint32_t i = 0; later != NULL && i < later->plan.count; i++) {
        const struct mm_plan_piece *piece = &later->plan.pieces[i];
        uint32_t begin = piece->extent.rva;

        if (!piece->apart)
            continue;
        if (rva >= begin && rva - begin < mm_round_up(piece->data_size, MM_PAGE))
            return 0;
        if (rva < begin && begin - rva < len)
            len = begin - rva;
    }
    return len;
}

bool mm_later_take_pending(struct mm_section *section, struct mm_cache_build *out)
{
    struct mm_later *later = section->later;

    if (later == NULL || !later->begun)
        return false;
    if (!mm_cached_unchanged(&section->cache_key, file_of(later))) {
        drop_pending(section);
        return false;
    }
    *out = later->pending;
    later->begun = false;
    section->object_fd = -1;
    return true;
}

void mm_later_served(struct mm_section *section)
{
    if (section->later == NULL)
        return;
    section->later->served = true;
    drop_pending(section);
}
