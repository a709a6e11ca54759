/*
 * Image section objects: creation, lifetime, sealing (section.h; facts 1.5).
 *
 * The file is read once, checked by pe/rules.h, planned and copied into the memfd, unless another
 * process has done that already. A PE section that is page-aligned in the file is mapped from the
 * file, if the file system allows executable mappings.
 */
#include "loader/mm/section_object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/protect.h"
#include "loader/mm/section_plan.h"
#include "pe/rules.h"

/* False on a noexec mount and on file systems without mmap: everything goes to the memfd then. */
bool mm_file_is_mappable(int fd)
{
    void *page;

    if (fd < 0)
        return false;
    page = mmap(NULL, (size_t)MM_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    if (page == MAP_FAILED)
        return false;
    munmap(page, (size_t)MM_PAGE);
    return true;
}

/* Signature, file header and the larger optional header: what is decoded, whatever
 * SizeOfOptionalHeader says. */
#define NT_HEADERS_SIZE 264u

/*
 * Keeps the NT headers and the section table, at their offsets in the file. They can lie megabytes
 * behind the DOS header (behaviours, Headers); calloc leaves what is between untouched.
 */
static nt_status copy_headers(struct mm_section *section, const struct pe_image *image)
{
    const struct pe_headers *h = &image->h;
    uint64_t end = h->section_table_offset + 40ull * h->number_of_sections;
    uint8_t *copy;

    if (end < (uint64_t)h->e_lfanew + NT_HEADERS_SIZE)
        end = (uint64_t)h->e_lfanew + NT_HEADERS_SIZE;
    if (end > image->bytes.size)
        end = image->bytes.size;
    copy = calloc(1, (size_t)end);
    if (copy == NULL)
        return STATUS_NO_MEMORY;
    pe_copy_some(image->bytes, 0, copy, end < 0x40 ? end : 0x40);
    if (h->e_lfanew < end)
        pe_copy_some(image->bytes, h->e_lfanew, copy + h->e_lfanew, end - h->e_lfanew);
    section->image = *image;
    section->image.bytes = (struct pe_span){copy, end};
    section->image.file_headers = section->image.bytes;
    return STATUS_SUCCESS;
}

static bool is_readable_throughout(const struct mm_section *section)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < section->extent_count; i++) {
        const struct mm_extent *extent = &section->extents[i];

        if (extent->rva != end || (mm_prot_of_protect(extent->protect) & PROT_READ) == 0)
            return false;
        end += extent->size;
    }
    return end == section->size;
}

void mm_section_settle(struct mm_section *section)
{
    const struct pe_image *image = &section->image;

    section->shows_headers =
        (uint64_t)image->h.e_lfanew + NT_HEADERS_SIZE <= pe_headers_shown(image);
    section->readable_throughout = is_readable_throughout(section);
}

/* What the section knows without its object: headers and extents. */
static nt_status take_plan(struct mm_section *section, const struct pe_image *image,
                           const struct mm_plan *plan, struct pe_error *err)
{
    nt_status status = copy_headers(section, image);

    section->extents = calloc(plan->count ? plan->count : 1, sizeof(*section->extents));
    if (!nt_ok(status) || section->extents == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the section object");
    for (uint32_t i = 0; i < plan->count; i++)
        section->extents[i] = plan->pieces[i].extent;
    section->extent_count = plan->count;
    section->size = plan->image_size;
    section->shared_size = plan->shared_size;
    mm_section_settle(section);
    return STATUS_SUCCESS;
}

nt_status mm_section_find_or_build(struct mm_section *section, struct pe_span bytes, int fd,
                                   const struct mm_file_state *state, const struct mm_plan *plan,
                                   struct pe_error *err)
{
    nt_status status;

    if (state != NULL && mm_cached_adopt_or_build(section, bytes, fd, state, plan))
        return STATUS_SUCCESS;
    /* Of two that begin at the same time one waits for the other; what is found then may turn out
     * to be something else, so that the second time this process builds its own in any case. */
    for (int round = 0;; round++) {
        if (state != NULL && mm_share_adopt(section, fd, state, plan))
            return STATUS_SUCCESS;
        status = mm_section_create_object(section, err);
        if (!nt_ok(status) || state == NULL || mm_share_claim(section, round == 0))
            break;
        close(section->object_fd);
        section->object_fd = -1;
    }
    if (nt_ok(status))
        status = mm_section_fill(section, bytes, fd, plan, err);
    if (nt_ok(status) && state != NULL)
        mm_share_label(section, fd);
    return status;
}

/* `state` NULL = the bytes come from memory. */
static nt_status init_section(struct mm_section *section, struct pe_span bytes, int fd,
                              const struct mm_file_state *state, enum pe_windows windows,
                              struct pe_error *err)
{
    struct mm_plan plan = {0};
    struct pe_image image;
    nt_status status = pe_admit(bytes, windows, &image, err);

    if (nt_ok(status))
        status = mm_plan_make(&image, fd >= 0, &plan, err);
    if (nt_ok(status) && plan.uses_file && !mm_file_is_mappable(fd)) {
        mm_plan_free(&plan);
        status = mm_plan_make(&image, false, &plan, err);
    }
    if (!nt_ok(status))
        return status;
    status = take_plan(section, &image, &plan, err);
    if (nt_ok(status) && (state == NULL || !mm_later_begin(section, fd, state, &plan)))
        status = mm_section_find_or_build(section, bytes, fd, state, &plan, err);
    if (nt_ok(status) && plan.uses_file && section->file_fd < 0) {
        section->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (section->file_fd < 0)
            status = pe_fail(err, mm_status_of_errno(errno), "cannot keep the file open: %s",
                             strerror(errno));
    }
    mm_plan_free(&plan);
    return status;
}

struct mm_section *mm_section_alloc(const char *name)
{
    struct mm_section *section = calloc(1, sizeof(*section));

    if (section == NULL)
        return NULL;
    atomic_init(&section->references, 1);
    pthread_mutex_init(&section->lock, NULL);
    section->object_fd = section->file_fd = -1;
    section->name = strdup(name);
    if (section->name != NULL)
        return section;
    mm_section_unref(section);
    return NULL;
}

void mm_section_set_file(struct mm_section *section, const struct mm_cache_key *key)
{
    section->cache_key = *key;
    section->has_file_id = true;
    section->file_id = (struct mm_file_id){.dev = key->dev,
                                           .ino = key->ino,
                                           .size = key->size,
                                           .mtime_sec = key->mtime_sec,
                                           .mtime_nsec = key->mtime_nsec};
}

static nt_status create(struct pe_span bytes, int fd, const struct mm_file_state *state,
                        const char *name, enum pe_windows windows, struct mm_section **out,
                        struct pe_error *err)
{
    struct mm_section *section = mm_section_alloc(name);
    nt_status status;

    if (section == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the section object", name);
    if (state != NULL) {
        struct mm_cache_key key = mm_cached_key(&state->st, name, windows);

        mm_section_set_file(section, &key);
    }
    status = init_section(section, bytes, fd, state, windows, err);
    if (!nt_ok(status)) {
        pe_error_prefix(err, "%s: ", name);
        mm_section_unref(section);
        return status;
    }
    *out = section;
    return STATUS_SUCCESS;
}

/* `absent`: the key that the cache has no entry for, NULL = none. */
static nt_status read_and_create(int fd, const char *name, enum pe_windows windows,
                                 const struct mm_cache_key *absent, struct mm_section **out,
                                 struct pe_error *err)
{
    struct mm_file_state state;
    struct mm_cache_key key;
    struct pe_span bytes;
    nt_status status;

    clock_gettime(CLOCK_REALTIME, &state.read_at);
    status = mm_file_read_headers(fd, name, windows, &bytes, &state.st, err);
    if (!nt_ok(status))
        return status;
    key = mm_cached_key(&state.st, name, windows);
    state.absent = absent != NULL && memcmp(&key, absent, sizeof(key)) == 0;
    status = create(bytes, fd, &state, name, windows, out, err);
    mm_file_unmap(bytes);
    return status;
}

nt_status mm_section_create_image_of(int fd, const struct stat *st, const char *name,
                                     enum pe_windows windows, struct mm_section **out,
                                     struct pe_error *err)
{
    struct mm_cache_key key = mm_cached_key(st, name, windows);
    struct mm_section *known = NULL;
    bool absent = false;

    if (S_ISREG(st->st_mode))
        known = mm_cached_open(&key, fd, name, &absent);
    if (known == NULL)
        return read_and_create(fd, name, windows, absent ? &key : NULL, out, err);
    *out = known;
    return STATUS_SUCCESS;
}

nt_status mm_section_create_image(int fd, const char *name, enum pe_windows windows,
                                  struct mm_section **out, struct pe_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return read_and_create(fd, name, windows, NULL, out, err);
    return mm_section_create_image_of(fd, &st, name, windows, out, err);
}

nt_status mm_section_create_image_from_memory(const void *bytes, uint64_t size, const char *name,
                                              enum pe_windows windows, struct mm_section **out,
                                              struct pe_error *err)
{
    return create((struct pe_span){bytes, size}, -1, NULL, name, windows, out, err);
}

struct mm_section *mm_section_ref(struct mm_section *section)
{
    atomic_fetch_add(&section->references, 1);
    return section;
}

static void destroy(struct mm_section *section)
{
    if (section == NULL)
        return;
    mm_share_withdraw(section);
    mm_later_end(section);
    if (section->cached)
        mm_cache_close(&section->entry);
    else if (section->object_fd >= 0 && !section->inside)
        close(section->object_fd);
    if (section->file_fd >= 0)
        close(section->file_fd);
    pthread_mutex_destroy(&section->lock);
    free((void *)(uintptr_t)section->image.bytes.data);
    free(atomic_load(&section->fixed_pages));
    free(section->extents);
    free(section->name);
    free(section);
}

void mm_section_unref(struct mm_section *section)
{
    if (section == NULL || atomic_fetch_sub(&section->references, 1) != 1)
        return;
    destroy(section->reusable && section->finished ? mm_known_put(section) : section);
}

/* Lock held. */
static nt_status seal(struct mm_section *section, struct pe_error *err)
{
    if (section->sealed)
        return STATUS_SUCCESS;
    if (fcntl(section->object_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        return pe_fail(err, mm_status_of_errno(errno), "%s: cannot seal the section object: %s",
                       section->name, strerror(errno));
    section->sealed = true;
    return STATUS_SUCCESS;
}

nt_status mm_section_finish(struct mm_section *section, struct pe_error *err)
{
    nt_status status;

    atomic_store(&section->finished, true);
    status = mm_later_finish(section, err);
    if (!nt_ok(status) || section->cached || section->later != NULL)
        return status;
    pthread_mutex_lock(&section->lock);
    status = seal(section, err);
    pthread_mutex_unlock(&section->lock);
    return status;
}

nt_status mm_section_note_view(struct mm_section *section, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;

    pthread_mutex_lock(&section->lock);
    if (section->viewed)
        status = seal(section, err);
    section->viewed = true;
    pthread_mutex_unlock(&section->lock);
    return status;
}

uint64_t mm_section_base_field(const struct mm_section *section, uint32_t *width)
{
    const struct pe_headers *h = &section->image.h;

    *width = h->pe32_plus ? 8 : 4;
    return h->optional_header_offset + (h->pe32_plus ? 24u : 28u);
}

bool mm_section_patch(struct mm_section *section, uint32_t rva, const void *bytes, uint32_t len)
{
    bool done;

    pthread_mutex_lock(&section->lock);
    done = !section->sealed && pwrite(section->object_fd, bytes, len, (off_t)rva) == (ssize_t)len;
    pthread_mutex_unlock(&section->lock);
    return done;
}

const char *mm_section_name(const struct mm_section *section)
{
    return section->name;
}

const struct pe_headers *mm_section_headers(const struct mm_section *section)
{
    return &section->image.h;
}

enum pe_windows mm_section_windows(const struct mm_section *section)
{
    return section->image.windows;
}

const struct mm_extent *mm_section_extents(const struct mm_section *section, uint32_t *count)
{
    *count = section->extent_count;
    return section->extents;
}

uint32_t mm_section_extent_index(const struct mm_section *section, uint32_t rva, bool *inside)
{
    uint32_t low = 0, high = section->extent_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mm_extent *extent = &section->extents[middle];

        if (rva >= extent->rva && rva - extent->rva >= extent->size)
            low = middle + 1;
        else
            high = middle;
    }
    *inside = low < section->extent_count && rva >= section->extents[low].rva;
    return low;
}

uint32_t mm_section_marks(const struct mm_section *section)
{
    return atomic_load(&section->marks);
}

void mm_section_mark(struct mm_section *section, uint32_t marks)
{
    atomic_fetch_or(&section->marks, marks);
}

uint32_t mm_section_size(const struct mm_section *section)
{
    return section->size;
}

bool mm_section_file_id(const struct mm_section *section, struct mm_file_id *out)
{
    if (section->has_file_id)
        *out = section->file_id;
    return section->has_file_id;
}

uint64_t mm_section_shared_size(const struct mm_section *section)
{
    return section->shared_size;
}
