/*
 * Views of image section objects, and the process's record of its regions.
 *
 * Mapping reserves the whole SizeOfImage at a 64 KiB boundary first (MAP_FIXED_NOREPLACE at the
 * wanted base, or anywhere), then overlays the extents inside that reservation. A fresh view is
 * *open*: its private pages are readable and writable so that fixups and the IAT can be written;
 * sealing gives every page its NT protection. Nothing of an open view may be executed.
 *
 * Locks: the region list has one rwlock inside mm; a view belongs to its creator.
 */
#ifndef MM_VIEW_H
#define MM_VIEW_H

#include <stddef.h>

#include "loader/mm/protect.h"
#include "loader/mm/section.h"

struct mm_view;

struct mm_map_options {
    uint64_t base; /* wanted base; 0 = the preferred base of the image */
    bool exact;    /* fail with STATUS_CONFLICTING_ADDRESSES rather than map elsewhere */
    int shared_fd; /* backing of the SHARED extents; -1 = map them private (counts as no sharing) */
    uint64_t limit;  /* when it has to move: the view ends at or below; 0 = no limit */
    bool below_4gib; /* likewise: stay below 4 GiB (PE32 images) */
    bool below_2gib; /* likewise below 2 GiB */
    /* When it has to move: to where other processes moved it, with their fixups if the cache has
     * them (mm_section_fixups() of the view's section tells). */
    bool relocatable;
    bool sealed;  /* the view comes closed, if nothing of it is hidden from the loader then */
    bool lasting; /* stays when a snapshot is gone back to, so not where that has memory */
};

/*
 * Maps a view. STATUS_SUCCESS at the wanted base, STATUS_IMAGE_NOT_AT_BASE elsewhere; on failure
 * nothing is mapped. `conflict`, if not NULL, gets a clause that says what holds the wanted base
 * ("0x400000-0x41ffff is taken by left.dll", ...), empty when the base was free, or when that is
 * memory of the host: looking for it takes longer than mapping the image.
 */
nt_status mm_view_map(struct mm_section *section, const struct mm_map_options *options,
                      struct mm_view **out, char *conflict, size_t conflict_size,
                      struct pe_error *err);
/* The clause for memory of the host ("0x400000-0x41ffff is taken by /usr/bin/host"), as it is now.
 */
void mm_describe_host_conflict(uint64_t base, uint64_t size, char *out, size_t out_size);
/* Unmaps and frees; NULL is allowed. */
void mm_view_unmap(struct mm_view *view);

uint64_t mm_view_base(const struct mm_view *view);
uint32_t mm_view_size(const struct mm_view *view);
struct mm_section *mm_view_section(const struct mm_view *view);
/* The mapped image: PE_LAYOUT_MAPPED over the view's bytes. Valid as long as the view. */
const struct pe_image *mm_view_image(const struct mm_view *view);
/* True when [rva, rva+len) is backed by the shared object, so a write would be seen elsewhere. */
bool mm_view_is_shared(const struct mm_view *view, uint32_t rva, uint32_t len);
/*
 * Makes the pages of [rva, rva+len) private to this process, with the content that the image file
 * gives them (an IAT inside a SHARED section). Open views only.
 */
nt_status mm_view_privatize(struct mm_view *view, uint32_t rva, uint32_t len, struct pe_error *err);
/*
 * Every page of [rva, rva+len) is going to be written, and none has been since the view was mapped:
 * makes them private at once where that is cheaper than one by one. An open view's private pages
 * only. Returns how many bytes from `rva` on that is settled for: those that share a huge page's
 * place. Pages behind them may have been made private, too; telling of those again is cheap.
 */
uint32_t mm_view_prepare_write(struct mm_view *view, uint32_t rva, uint32_t len);
/*
 * True when the loader may read [rva, rva+len) now. Gaps between PE sections and pages of
 * PAGE_NOACCESS are readable in an open view only, and image code may have taken the right away
 * from any page.
 */
bool mm_view_readable(const struct mm_view *view, uint32_t rva, uint32_t len);
/*
 * Records the base that the mapped header shows for a DYNAMIC_BASE image that moved (facts 2.3):
 * written into the image object where this view is its first, so the header page stays clean.
 */
nt_status mm_view_patch_image_base(struct mm_view *view, struct pe_error *err);
/*
 * The data directories of mm_view_image() are read again, by the e_lfanew that memory shows now;
 * `but_imports`: all but the import directory. False when there are no NT headers.
 */
bool mm_view_reread_directories(struct mm_view *view, bool but_imports);
/*
 * Keeps an open view that fixups have just been applied to, by `plan`, for other processes and
 * later loads that move the image to the same base; its own pages are not private any more either.
 * Nothing happens where that is not possible.
 */
void mm_view_keep_relocated(struct mm_view *view, const struct reloc_plan *plan);
/* ImageBase as the mapped header shows it; the preferred base where the header does not hold it. */
uint64_t mm_view_shown_base(const struct mm_view *view);
/* Final protections on; the view is closed. */
nt_status mm_view_seal(struct mm_view *view, struct pe_error *err);
/* Opens a sealed view for writing again and returns to the stored protections with _seal(). */
nt_status mm_view_unseal(struct mm_view *view, struct pe_error *err);

/* ---- regions ------------------------------------------------------------------------------- */

enum mm_backing {
    MM_BACKING_NONE,           /* free, or reserved */
    MM_BACKING_IMAGE_FILE,     /* pages still shared with everyone who maps the image */
    MM_BACKING_PAGING_FILE,    /* private pages */
    MM_BACKING_SHARED_SECTION, /* SHARED PE section or a shared mapping */
    MM_BACKING_DATA_FILE,
};

/* MEMORY_BASIC_INFORMATION and what peldr knows beyond it. */
struct mm_region {
    uint64_t base, size;
    uint64_t allocation_base;
    uint32_t allocation_protect;
    uint32_t state, protect, type; /* protect: 0 for MEM_RESERVE, PAGE_NOACCESS for MEM_FREE */
    /* Beyond VirtualQuery */
    uint32_t initial_protect; /* of an image page as the PE section says; else allocation_protect */
    int32_t pe_section;       /* images: index, -1 = headers or none */
    enum mm_backing backing;
    uint64_t pages_private;   /* pages of this region that this process has a private copy of */
    uint64_t pages_shared;    /* pages that whoever maps the same section has as well */
    uint64_t pages_committed; /* both together; 0 unless MEM_COMMIT */
};

/*
 * Mirrors VirtualQuery for any address of the process: peldr's own regions from the records, others
 * from /proc/self/maps. WRITECOPY pages that were written answer READWRITE (asked from the kernel,
 * by /proc/self/pagemap). STATUS_INVALID_PARAMETER above user space.
 */
nt_status mm_query(uint64_t address, struct mm_region *out);
/*
 * The same for the whole address space, region by region, with the name as mm_region_name() says it
 * ("" = none). `visit` returns false to stop, and so does this. Nothing is locked while it runs:
 * what other threads map and unmap meanwhile may be seen or not.
 */
bool mm_query_each(bool (*visit)(void *user, const struct mm_region *region, const char *name),
                   void *user);
/*
 * The file or the name behind the memory at `address`, as who mapped it gave it ("" = paging file);
 * cut when longer than `size`. False when there is none: private and free memory.
 */
bool mm_region_name(uint64_t address, char *out, size_t size);
/*
 * The same for one view, region by region, split also where the PE section changes. `*cursor`
 * starts at 0 and is an RVA; false at the end.
 */
bool mm_view_next_region(const struct mm_view *view, uint32_t *cursor, struct mm_region *out);

/* ---- private memory (VirtualAlloc family) -----------------------------------------------------
 */

/*
 * Mirrors VirtualAlloc: type MEM_RESERVE and/or MEM_COMMIT (facts 4.5), or MEM_RESET. `*base` 0 =
 * anywhere. MEM_COMMIT in a view of a SEC_RESERVE section commits pages of the section, for every
 * process (facts 4.4): STATUS_COMMITMENT_LIMIT when there is no space for them; in a view of the
 * paging file STATUS_SECTION_PROTECTION when the view does not allow `protect`;
 * STATUS_ALREADY_COMMITTED in any other view.
 */
nt_status mm_alloc(uint64_t *base, uint64_t *size, uint32_t type, uint32_t protect,
                   struct pe_error *err);
/* The same with the address below `limit` (0 = none): TEBs, i386 images' helpers. */
nt_status mm_alloc_below(uint64_t limit, uint64_t *base, uint64_t *size, uint32_t type,
                         uint32_t protect, struct pe_error *err);
/* Mirrors VirtualFree: MEM_DECOMMIT or MEM_RELEASE. */
nt_status mm_free(uint64_t base, uint64_t size, uint32_t type, struct pe_error *err);
/*
 * Mirrors VirtualProtect; `*base`/`*size` come back rounded to pages. Anonymous memory of the host
 * (its heap and stacks, which builtin functions hand to images) can be protected too.
 */
nt_status mm_protect(uint64_t *base, uint64_t *size, uint32_t protect, uint32_t *old,
                     struct pe_error *err);
/*
 * A page of memory that is written through one address and read through another, fixed one
 * (KUSER_SHARED_DATA). The range at `read_address`, which must be free, is taken for good and is
 * PAGE_NOACCESS at first; it gets its memory, once, when somebody wants to read: it stays
 * PAGE_NOACCESS until mm_protect(), so that the caller can write first.
 */
nt_status mm_mirror_reserve(uint64_t read_address, uint64_t size, struct pe_error *err);
nt_status mm_mirror_back(uint64_t read_address, uint64_t size, void **write_address,
                         struct pe_error *err);

/* Where constants of the program lie in its file; false when they lie elsewhere, or can change. */
bool mm_inside_offset(const void *data, uint64_t size, uint64_t *offset);

/* ---- faults ------------------------------------------------------------------------------------
 */

/* Whether `address` lies in memory that an image got by a call: a private allocation (mm_alloc), a
 * view (mm_data_map, mm_image_map). Async-signal-safe; false if the thread was inside mm. */
bool mm_is_allocation(uint64_t address);
/* An access to a page of PAGE_GUARD: it loses the modifier. False: the page has none. */
bool mm_guard_consume(uint64_t address);
/*
 * Makes pages of a private allocation PAGE_READWRITE: the guard of a stack that has overflowed.
 * Async-signal-safe; VirtualQuery may go on to show the guard if the thread was inside mm.
 */
void mm_guard_open(uint64_t base, uint64_t size);
/*
 * Code at `address` is to run although its page is not executable, as Windows lets it without data
 * execution prevention. The page's NT protection stays as it is. False: it is no readable page, or
 * executable already.
 */
bool mm_execute_anyway(uint64_t address);

#endif
