/*
 * Fills the object of an image section, a memfd or an entry of the cache (design, decision 1;
 * facts 1.2, 1.7).
 *
 * The page at RVA r lies at offset r, so neighbouring extents map in one call. Only file bytes are
 * written: zero fill and the gaps stay holes, and an image of 256 MiB of zeroes costs nothing. Zero
 * fill comes from the object nevertheless, never from anonymous memory, so that the kernel can say
 * of every page whether it is still the object's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"

/* Linux 6.3: asks for what vm.memfd_noexec wants; it is about execve(), not about PROT_EXEC. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

/* Large enough that the calls do not count, small enough for a processor's cache. */
#define CHUNK 0x40000u
/* A call costs what it saves for less. */
#define RESERVED_LEAST 0x40000u
/* For one system call. */
#define MAX_SENT   0x40000000u
#define MAX_MAPPED 0x400000u

static int create_memfd(const char *name)
{
    const char *slash = strrchr(name, '/');
    char label[64] = "peldr:";
    int fd;

    strncat(label, slash != NULL ? slash + 1 : name, sizeof(label) - sizeof("peldr:"));
    fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static bool write_all(int fd, struct pe_span bytes, uint64_t offset)
{
    uint64_t done = 0;

    while (done < bytes.size) {
        ssize_t put =
            pwrite(fd, bytes.data + done, (size_t)(bytes.size - done), (off_t)(offset + done));

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        done += (uint64_t)put;
    }
    return true;
}

/* ext4 takes longer to find room for one page at a time, while it is written, than for all of them
 * before; the memory of a memfd is better had when it is written. No room shows when it is, too. */
bool mm_section_reserve(int fd, uint64_t at, uint64_t size)
{
    struct statfs fs;

    return size >= RESERVED_LEAST && fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC &&
           fallocate(fd, 0, (off_t)at, (off_t)size) == 0;
}

/* ---- from one file into another ---- */

struct transfer { /* what is left of it */
    int source, fd;
    uint64_t from, to, size;
};

/* `done` as write(2) returns it; false = an error, or nothing. */
static bool advance(struct transfer *t, ssize_t done)
{
    if (done < 0 && errno == EINTR)
        return true;
    if (done <= 0)
        return false;
    t->from += (uint64_t)done;
    t->to += (uint64_t)done;
    t->size -= (uint64_t)done;
    return true;
}

/* A page that the file ends in goes on with zeros. */
static bool reaches(int fd, uint64_t end)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (uint64_t)st.st_size >= end;
}

/*
 * Three ways. The first is the fastest where there is room already, and the second has no memory to
 * map; both return false when something is left for the third one, which finds out why. None has a
 * page of a file read by this process, whom it would end if the file has become shorter (SIGBUS).
 */
static bool write_from_mapping(struct transfer *t)
{
    bool more = true;

    while (more && t->size != 0) {
        uint64_t skip = t->from % MM_PAGE, size = t->size < MAX_MAPPED ? t->size : MAX_MAPPED;
        uint8_t *mapped = mmap(NULL, (size_t)(skip + size), PROT_READ, MAP_SHARED | MAP_POPULATE,
                               t->source, (off_t)(t->from - skip));
        ssize_t put;

        if (mapped == MAP_FAILED)
            return false;
        put = pwrite(t->fd, mapped + skip, (size_t)size, (off_t)t->to);
        more = reaches(t->source, t->from + size) && advance(t, put);
        munmap(mapped, (size_t)(skip + size));
    }
    return more;
}

static bool send_all(struct transfer *t)
{
    bool more = lseek(t->fd, (off_t)t->to, SEEK_SET) >= 0;

    while (more && t->size != 0) {
        off_t at = (off_t)t->from;

        more = advance(
            t, sendfile(t->fd, t->source, &at, (size_t)(t->size < MAX_SENT ? t->size : MAX_SENT)));
    }
    return more;
}

/* A file that ends before what is to be copied was changed. */
static nt_status copy_through(struct transfer *t, uint8_t *buffer, uint64_t room)
{
    while (t->size != 0) {
        ssize_t got =
            pread(t->source, buffer, (size_t)(t->size < room ? t->size : room), (off_t)t->from);

        if (got == 0)
            return STATUS_END_OF_FILE;
        if ((got > 0 && !write_all(t->fd, (struct pe_span){buffer, (uint64_t)got}, t->to)) ||
            !advance(t, got))
            return mm_status_of_errno(errno);
    }
    return STATUS_SUCCESS;
}

static nt_status copy_range(struct transfer t)
{
    /* Where offsets in the file and the buffer differ by less than a cache line, the kernel copies
     * at a tenth of its speed: malloc's memory begins 16 bytes behind one. */
    _Alignas(64) uint8_t small[PE_PAGE_SIZE];
    uint8_t *large;
    uint64_t room = t.size < CHUNK ? mm_round_up(t.size, MM_PAGE) : CHUNK;
    nt_status status;

    if (t.size <= sizeof(small))
        return copy_through(&t, small, sizeof(small));
    if ((mm_section_reserve(t.fd, t.to, t.size) && write_from_mapping(&t)) || send_all(&t))
        return STATUS_SUCCESS;
    large = aligned_alloc(PE_PAGE_SIZE, (size_t)room);
    status = large != NULL ? copy_through(&t, large, room) : copy_through(&t, small, sizeof(small));
    free(large);
    return status;
}

/* ---- pieces ---- */

static nt_status fill_piece(int object, struct pe_span bytes, int fd,
                            const struct mm_plan_piece *piece)
{
    struct pe_span data;

    if (piece->data_offset > bytes.size || piece->data_size > bytes.size - piece->data_offset ||
        (fd < 0 && !pe_sub(bytes, piece->data_offset, piece->data_size, &data)))
        return STATUS_INVALID_IMAGE_FORMAT;
    if (fd >= 0)
        return copy_range((struct transfer){.source = fd,
                                            .fd = object,
                                            .from = piece->data_offset,
                                            .to = piece->extent.rva,
                                            .size = piece->data_size});
    return write_all(object, data, piece->extent.rva) ? STATUS_SUCCESS : mm_status_of_errno(errno);
}

nt_status mm_section_write_pieces(int object, struct pe_span bytes, int fd,
                                  const struct mm_plan *plan, enum mm_pieces which)
{
    nt_status status = STATUS_SUCCESS;

    for (uint32_t i = 0; i < plan->count && nt_ok(status); i++)
        if (plan->pieces[i].data_size != 0 &&
            (which == MM_PIECES_ALL || plan->pieces[i].apart == (which == MM_PIECES_APART)))
            status = fill_piece(object, bytes, fd, &plan->pieces[i]);
    return status;
}

static nt_status fill(int object, struct pe_span bytes, int fd, const struct mm_plan *plan)
{
    nt_status status;

    if (ftruncate(object, (off_t)(plan->image_size + MM_PAGE)) != 0) /* and the label's page */
        return mm_status_of_errno(errno);
    status = mm_section_write_pieces(object, bytes, fd, plan, MM_PIECES_ALL);
    if (nt_ok(status) && fcntl(object, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        status = mm_status_of_errno(errno);
    return status;
}

nt_status mm_section_create_object(struct mm_section *section, struct pe_error *err)
{
    section->object_fd = create_memfd(section->name);
    if (section->object_fd < 0)
        return pe_fail(err, mm_status_of_errno(errno), "cannot create the section object: %s",
                       strerror(errno));
    return STATUS_SUCCESS;
}

nt_status mm_section_fill(const struct mm_section *section, struct pe_span bytes, int fd,
                          const struct mm_plan *plan, struct pe_error *err)
{
    nt_status status = fill(section->object_fd, bytes, fd, plan);

    if (!nt_ok(status))
        return pe_fail(err, status, "cannot fill the section object: %s", nt_status_text(status));
    return STATUS_SUCCESS;
}

/* ---- is it still the same? ----------------------------------------------------------------- */

/* Writes the part of the field [at, at+width) that lies in the chunk over with that of `from`. */
static void copy_field(uint8_t *to, const uint8_t *from, uint64_t chunk, uint64_t size, uint64_t at,
                       uint32_t width)
{
    for (uint64_t i = at; i < at + width; i++)
        if (i >= chunk && i - chunk < size)
            to[i - chunk] = from[i - chunk];
}

static bool piece_is_same(const struct mm_section *section, int object, int fd,
                          const struct mm_plan_piece *piece, bool base_may_differ)
{
    _Alignas(64) uint8_t ours[PE_PAGE_SIZE * 4], theirs[PE_PAGE_SIZE * 4];
    uint64_t at = 0, base;
    uint32_t width;

    base = mm_section_base_field(section, &width);
    while (at < piece->data_size) {
        uint64_t left = piece->data_size - at, rva = piece->extent.rva + at;
        size_t size = left < sizeof(ours) ? (size_t)left : sizeof(ours);

        if (pread(fd, ours, size, (off_t)(piece->data_offset + at)) != (ssize_t)size ||
            pread(object, theirs, size, (off_t)rva) != (ssize_t)size)
            return false;
        if (base_may_differ && piece->extent.pe_section < 0)
            copy_field(theirs, ours, rva, size, base, width);
        if (memcmp(ours, theirs, size) != 0)
            return false;
        at += size;
    }
    return true;
}

/* Holes are zero without being read. */
static bool is_zero(int object, uint64_t from, uint64_t end)
{
    static const uint8_t zeroes[PE_PAGE_SIZE];
    _Alignas(64) uint8_t bytes[PE_PAGE_SIZE];

    while (from < end) {
        off_t data = lseek(object, (off_t)from, SEEK_DATA);
        size_t size;

        if (data < 0)
            return errno == ENXIO; /* holes to the end */
        if ((uint64_t)data >= end)
            break;
        from = (uint64_t)data;
        size = end - from < sizeof(bytes) ? (size_t)(end - from) : sizeof(bytes);
        if (pread(object, bytes, size, (off_t)from) != (ssize_t)size ||
            memcmp(bytes, zeroes, size) != 0)
            return false;
        from += size;
    }
    return true;
}

bool mm_section_has_content(const struct mm_section *section, int object, int fd,
                            const struct mm_plan *plan, bool base_may_differ)
{
    uint64_t end = 0;

    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mm_plan_piece *piece = &plan->pieces[i];

        if (!is_zero(object, end, piece->extent.rva) ||
            !piece_is_same(section, object, fd, piece, base_may_differ))
            return false;
        end = (uint64_t)piece->extent.rva + piece->data_size;
    }
    return is_zero(object, end, section->size);
}

/* ---- the content of SHARED PE sections ------------------------------------------------------ */

/* Copies the parts of [from, from+size) that are no holes to offset `to` of `fd`. */
static nt_status copy_data(int object, uint64_t from, uint64_t size, int fd, uint64_t to)
{
    uint64_t at = from, end = from + size;
    nt_status status = STATUS_SUCCESS;

    while (nt_ok(status) && at < end) {
        off_t data = lseek(object, (off_t)at, SEEK_DATA), hole;

        if (data < 0 && errno == ENXIO) /* holes to the end */
            break;
        hole = data < 0 ? -1 : lseek(object, data, SEEK_HOLE);
        if (hole < 0)
            return mm_status_of_errno(errno);
        if ((uint64_t)data >= end)
            break;
        at = (uint64_t)hole < end ? (uint64_t)hole : end;
        status = copy_range((struct transfer){.source = object,
                                              .fd = fd,
                                              .from = (uint64_t)data,
                                              .to = to + ((uint64_t)data - from),
                                              .size = at - (uint64_t)data});
    }
    return status;
}

nt_status mm_section_write_shared(const struct mm_section *section, int fd, struct pe_error *err)
{
    for (uint32_t i = 0; i < section->extent_count; i++) {
        const struct mm_extent *extent = &section->extents[i];
        nt_status status;

        if (extent->source != MM_SOURCE_SHARED)
            continue;
        status = copy_data(section->object_fd, extent->rva, extent->size, fd, extent->offset);
        if (!nt_ok(status))
            return pe_fail(err, status,
                           "%s: cannot write the content of PE section %d to its backing",
                           section->name, extent->pe_section);
    }
    return STATUS_SUCCESS;
}
