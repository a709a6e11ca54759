/*
 * A mapped view: opening and sealing, sharing, the base in its header (view.h; facts 1.6, 2.3).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/view_object.h"

uint64_t mm_view_base(const struct mm_view *view)
{
    return view->range.base;
}

uint32_t mm_view_size(const struct mm_view *view)
{
    return view->section->size;
}

struct mm_section *mm_view_section(const struct mm_view *view)
{
    return view->section;
}

const struct pe_image *mm_view_image(const struct mm_view *view)
{
    return &view->image;
}

/* The pages that [rva, rva+len) touches, cut at the end of the view; `*end` is exclusive. */
static uint64_t page_span(const struct mm_view *view, uint32_t rva, uint32_t len, uint64_t *end)
{
    uint64_t pages = view->range.size / MM_PAGE;

    *end = mm_round_up((uint64_t)rva + len, MM_PAGE) / MM_PAGE;
    if (*end > pages)
        *end = pages;
    return rva / MM_PAGE;
}

bool mm_view_has_attr(const struct mm_view *view, uint32_t rva, uint32_t len, uint8_t bits)
{
    uint64_t end, page = page_span(view, rva, len, &end);
    bool found = false;

    mm_ranges_read_lock();
    for (; page < end && !found; page++)
        found = (view->range.attr[page] & bits) != 0;
    mm_ranges_unlock();
    return found;
}

bool mm_view_is_shared(const struct mm_view *view, uint32_t rva, uint32_t len)
{
    return len != 0 && mm_view_has_attr(view, rva, len, MM_ATTR_SHARED);
}

uint32_t mm_view_readable_run(const void *user, uint32_t rva, uint32_t len)
{
    const struct mm_view *view = user;
    uint64_t end, page = page_span(view, rva, len, &end), readable;

    mm_ranges_read_lock();
    if (view->open)
        page = end;
    while (page < end && (mm_attr_prot(view->range.attr[page]) & PROT_READ) != 0)
        page++;
    mm_ranges_unlock();
    readable = page * MM_PAGE > rva ? page * MM_PAGE - rva : 0;
    return readable < len ? (uint32_t)readable : len;
}

bool mm_view_readable(const struct mm_view *view, uint32_t rva, uint32_t len)
{
    return mm_view_readable_run(view, rva, len) == len;
}

/* Maps the object's own content over the shared pages of [page, end). Lock held for writing. */
static int privatize_pages(struct mm_view *view, uint64_t page, uint64_t end)
{
    for (; page < end; page++) {
        uint64_t offset = page * MM_PAGE;

        if (!(view->range.attr[page] & MM_ATTR_SHARED))
            continue;
        if (mmap(mm_ptr(view->range.base + offset), (size_t)MM_PAGE, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, view->section->object_fd,
                 (off_t)(view->section->object_offset + offset)) == MAP_FAILED)
            return errno;
        view->range.attr[page] &= (uint8_t)~MM_ATTR_SHARED;
    }
    return 0;
}

nt_status mm_view_privatize(struct mm_view *view, uint32_t rva, uint32_t len, struct pe_error *err)
{
    uint64_t end, page = page_span(view, rva, len, &end);
    int error = EINVAL;

    mm_ranges_write_lock();
    if (view->open)
        error = privatize_pages(view, page, end);
    mm_ranges_unlock();
    if (error == 0)
        return STATUS_SUCCESS;
    return pe_fail(err, mm_status_of_errno(error), "%s: cannot make RVA 0x%x private: %s",
                   view->section->name, rva, strerror(error));
}

/* Where the mapped header shows ImageBase; false when the header page does not hold it. */
static bool base_field(const struct mm_view *view, uint32_t *rva, uint32_t *width)
{
    uint64_t at = mm_section_base_field(view->section, width);
    uint64_t end = pe_headers_shown(&view->section->image);

    *rva = (uint32_t)at;
    return at < end && end - at >= *width;
}

void mm_view_show_base(struct mm_view *view, uint64_t base, bool in_object)
{
    uint32_t rva, width;
    uint8_t bytes[8], *shown;

    if (!base_field(view, &rva, &width))
        return;
    for (uint32_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(base >> 8 * i);
    shown = (uint8_t *)mm_ptr(view->range.base + rva);
    if (memcmp(shown, bytes, width) == 0)
        return;
    /* A header page that is private already does not follow the object. */
    if (in_object && mm_section_patch(view->section, rva, bytes, width) &&
        memcmp(shown, bytes, width) == 0)
        return;
    memcpy(shown, bytes, width);
}

uint64_t mm_view_shown_base(const struct mm_view *view)
{
    uint64_t base = 0;
    uint32_t rva, width;

    if (!base_field(view, &rva, &width))
        return view->image.h.image_base;
    for (uint32_t i = width; i-- > 0;)
        base = base << 8 | ((const uint8_t *)mm_ptr(view->range.base + rva))[i];
    return base;
}

bool mm_view_reread_directories(struct mm_view *view, bool but_imports)
{
    struct pe_headers *h = &view->image.h;
    struct pe_directory imports = h->directory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    struct pe_image mapped;

    if (!nt_ok(pe_open(view->image.bytes, PE_LAYOUT_MAPPED, &mapped, NULL)) ||
        mapped.h.pe32_plus != h->pe32_plus)
        return false;
    h->number_of_rva_and_sizes = mapped.h.number_of_rva_and_sizes;
    memcpy(h->directory, mapped.h.directory, sizeof(h->directory));
    if (but_imports)
        h->directory[IMAGE_DIRECTORY_ENTRY_IMPORT] = imports;
    return true;
}

nt_status mm_view_patch_image_base(struct mm_view *view, struct pe_error *err)
{
    const struct pe_headers *h = &view->section->image.h;

    /* Stripped wins over DYNAMIC_BASE, and flat images are never relocated (facts 1.2, 2.3). */
    if (!(h->dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE) ||
        (h->characteristics & IMAGE_FILE_RELOCS_STRIPPED) || pe_is_flat(&view->image))
        return STATUS_SUCCESS;
    if (!view->open)
        return pe_fail(err, STATUS_ACCESS_DENIED, "%s: the view is sealed", view->section->name);
    mm_view_show_base(view, view->range.base, true);
    return STATUS_SUCCESS;
}

/* How many of `count` bytes are like the first. Large images have many pages: as long as all bytes
 * of a stretch are like their neighbours, they are all alike. */
static uint64_t run_of_byte(const uint8_t *bytes, uint64_t count)
{
    enum { STRETCH = 512 };
    uint64_t at = 0;

    while (count - at > STRETCH && memcmp(bytes + at, bytes + at + 1, STRETCH) == 0)
        at += STRETCH;
    while (at < count && bytes[at] == bytes[0])
        at++;
    return at;
}

/* Pages from `page` on that have the same host protection when the view is closed. */
static uint64_t run_of_prot(const struct mm_view *view, uint64_t page, uint64_t end, int *prot)
{
    const uint8_t *attr = view->range.attr;
    uint64_t first = page;

    *prot = mm_attr_prot(attr[page]);
    while (page < end && mm_attr_prot(attr[page]) == *prot)
        page += run_of_byte(attr + page, end - page);
    return page - first;
}

/* Gives the pages that have `now` on the host what their attributes say. Lock held for writing. */
static int close_pages(struct mm_view *view, int now)
{
    uint64_t end = view->range.size / MM_PAGE, count;

    mm_snapshot_touch(&view->range);
    for (uint64_t page = 0; page < end; page += count) {
        int prot;

        count = run_of_prot(view, page, end, &prot);
        if (prot != now && mprotect(mm_ptr(view->range.base + page * MM_PAGE),
                                    (size_t)(count * MM_PAGE), prot) != 0)
            return errno;
    }
    view->open = false;
    return 0;
}

static int open_pages(struct mm_view *view)
{
    if (mprotect(mm_ptr(view->range.base), (size_t)view->range.size, PROT_READ | PROT_WRITE) != 0)
        return errno;
    view->open = true;
    return 0;
}

static nt_status switched(const struct mm_view *view, int error, struct pe_error *err)
{
    if (error == 0)
        return STATUS_SUCCESS;
    return pe_fail(err, mm_status_of_errno(error), "%s: cannot set the page protections: %s",
                   view->section->name, strerror(error));
}

nt_status mm_view_close(struct mm_view *view, int now, struct pe_error *err)
{
    int error;

    mm_ranges_write_lock();
    error = view->open ? close_pages(view, now) : 0;
    mm_ranges_unlock();
    return switched(view, error, err);
}

nt_status mm_view_unseal(struct mm_view *view, struct pe_error *err)
{
    int error;

    mm_ranges_write_lock();
    error = view->open ? 0 : open_pages(view);
    mm_ranges_unlock();
    return switched(view, error, err);
}

nt_status mm_view_seal(struct mm_view *view, struct pe_error *err)
{
    nt_status status = mm_view_close(view, PROT_READ | PROT_WRITE, err);

    return nt_ok(status) ? mm_section_finish(view->section, err) : status;
}
