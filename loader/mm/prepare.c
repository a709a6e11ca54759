/*
 * Making pages of a view private before they are written (view.h).
 *
 * A write fault costs more than the fixups of its page. MADV_POPULATE_WRITE (Linux 5.14) does the
 * kernel's part of many in one call: from two pages on that is cheaper. Where 512 pages, or not
 * many fewer, are to be written, a huge page of anonymous memory, filled by one read, takes their
 * place, at a third of the cost and less; a private mapping of a file cannot have any (madvise(2),
 * MADV_HUGEPAGE and MADV_COLLAPSE). Either way the process has the same pages of its own; of a huge
 * page that is not used whole, up to a quarter stays unused until memory is short.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/view_object.h"

#define HUGE_PAGE 0x200000u

/* ---- huge pages ---- */

/* Whether who asks gets some: "always [madvise] never", the word in brackets being in force. */
static bool ask_for_huge_pages(void)
{
    char text[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    return got > 0 && strchr(text, '[') != NULL && strstr(text, "[never]") == NULL;
}

bool mm_have_huge_pages(void)
{
    static atomic_int known; /* 0 = not asked yet */

    if (atomic_load_explicit(&known, memory_order_relaxed) == 0)
        atomic_store_explicit(&known, ask_for_huge_pages() ? 1 : -1, memory_order_relaxed);
    return atomic_load_explicit(&known, memory_order_relaxed) > 0;
}

static bool read_all(int fd, uint8_t *to, uint64_t size, uint64_t offset)
{
    while (size != 0) {
        ssize_t got = pread(fd, to, (size_t)size, (off_t)offset);

        if (got <= 0)
            return false;
        to += got;
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return true;
}

/* What PE sections give [rva, rva+len); false where something else belongs. */
static bool read_content(const struct mm_section *section, uint32_t rva, uint32_t len, uint8_t *to)
{
    const uint64_t end = (uint64_t)rva + len;
    bool inside;
    uint32_t i = mm_section_extent_index(section, rva, &inside);
    uint64_t at = rva;

    for (; at < end; i++) {
        const struct mm_extent *extent = &section->extents[i];
        uint64_t skip, size;

        if (i >= section->extent_count || extent->rva > at || extent->pe_section < 0)
            return false;
        skip = at - extent->rva;
        size = extent->size - skip < end - at ? extent->size - skip : end - at;
        if (extent->source == MM_SOURCE_FILE
                ? !read_all(section->file_fd, to, size, extent->offset + skip)
                : !read_all(section->object_fd, to, size, section->object_offset + at))
            return false;
        to += size;
        at += size;
    }
    return true;
}

/* A huge page's worth of memory, aligned as one; NULL = no memory. */
static uint8_t *take_aligned(void)
{
    uint8_t *got = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (got == MAP_FAILED)
        return NULL;
    before = (size_t)(-mm_address(got) % HUGE_PAGE);
    if (before != 0)
        munmap(got, before);
    munmap(got + before + HUGE_PAGE, HUGE_PAGE - before);
    return got + before;
}

/* A part of a view's image. */
struct piece {
    uint32_t rva, len;
};

static bool move(const struct mm_view *view, struct piece to, uint8_t *page)
{
    if (to.len == 0 || mremap(page, to.len, to.len, MREMAP_MAYMOVE | MREMAP_FIXED,
                              mm_ptr(view->range.base + to.rva)) != MAP_FAILED)
        return true;
    munmap(page, to.len);
    return false;
}

/*
 * Two pieces that have room in a huge page; the second one may be empty. What is left of the page
 * is unmapped: the kernel splits the page, and has the rest again, when memory is short.
 */
static bool replace_by_huge_page(const struct mm_view *view, struct piece a, struct piece b)
{
    uint8_t *page = take_aligned();
    uint32_t used = a.len + b.len;

    if (page == NULL)
        return false;
    if (madvise(page, HUGE_PAGE, MADV_HUGEPAGE) != 0 ||
        !read_content(view->section, a.rva, a.len, page) ||
        !read_content(view->section, b.rva, b.len, page + a.len)) {
        munmap(page, HUGE_PAGE);
        return false;
    }
    if (used < HUGE_PAGE)
        munmap(page + used, HUGE_PAGE - used);
    move(view, b, page + a.len);
    return move(view, a, page);
}

/* ---- runs of pages ---- */

/* So much of a huge page that the rest is not worth sparing. */
static bool is_enough(uint32_t len)
{
    return len >= HUGE_PAGE / 4 * 3 && len <= HUGE_PAGE;
}

/* A huge page's room of the run, or what is before the first one's end; then also what is behind
 * the last one, where only both together fill a huge page. */
static bool use_huge_page(const struct mm_view *view, struct piece first, uint32_t len)
{
    uint32_t behind = (len - first.len) % HUGE_PAGE;
    struct piece none = {0}, last = {first.rva + len - behind, behind};

    if (!mm_have_huge_pages())
        return false;
    if (is_enough(first.len))
        return replace_by_huge_page(view, first, none);
    return !is_enough(behind) && is_enough(first.len + behind) &&
           replace_by_huge_page(view, first, last);
}

uint32_t mm_view_prepare_write(struct mm_view *view, uint32_t rva, uint32_t len)
{
    uint64_t address = view->range.base + rva;
    uint32_t room = HUGE_PAGE - (uint32_t)(address % HUGE_PAGE);
    uint32_t unfilled = mm_later_unfilled(view->section, rva, len);
    struct piece first = {rva, unfilled < room ? unfilled : room};

    if (!view->open)
        return len;
    if (unfilled == 0)
        return len < MM_PAGE ? len : (uint32_t)MM_PAGE;
    /* Without it, or where it fails, the pages are had by faults. Those that are there stay. */
    if (!use_huge_page(view, first, unfilled) && first.len > MM_PAGE)
        madvise(mm_ptr(address), first.len, MADV_POPULATE_WRITE);
    return first.len;
}
