/*
 * Section objects that are backed by a data file or by the paging file, and their views (facts 4).
 *
 * The pages come from a file descriptor: the data file itself, or shared memory that stands for the
 * paging file (a memfd, or a backing of the object manager when the section has a name). Views map
 * it MAP_SHARED, or MAP_PRIVATE for PAGE_WRITECOPY, so that all views of all processes agree and a
 * copy is made by the kernel at the first write. Who may map a section, and under which name others
 * find it, is the object manager's business (ob/section.h).
 *
 * SEC_RESERVE: which pages are committed is a bitmap that all processes share. A page that another
 * process has committed since is still closed in this one's views; the fault on it, or a query,
 * opens it (mm_commit_fault).
 */
#ifndef MM_DATA_H
#define MM_DATA_H

#include "loader/mm/view.h"

enum {
    SEC_FILE = 0x800000,
    SEC_IMAGE = 0x1000000,
    SEC_RESERVE = 0x4000000,
    SEC_COMMIT = 0x8000000,
    SEC_NOCACHE = 0x10000000,
    SEC_IMAGE_NO_EXECUTE = 0x11000000,
    SEC_WRITECOMBINE = 0x40000000,
};
#define SEC_LARGE_PAGES 0x80000000u

struct mm_data;

struct mm_data_source {
    int fd;              /* duplicated by mm_data_create() */
    uint64_t offset;     /* of the section's first byte in it; a multiple of 64 KiB */
    uint64_t size;       /* bytes: exact for a data file, whole pages for the paging file */
    uint32_t protect;    /* PAGE_* that the section is created with: the most its views may have */
    uint32_t attributes; /* SEC_COMMIT or SEC_RESERVE, SEC_NOCACHE, SEC_WRITECOMBINE */
    bool paging_file;
    /*
     * SEC_RESERVE of the paging file: bit n of word n / 32 = page n is committed. Shared by all
     * processes that have the section and changed by atomic operations only. The creator keeps it
     * mapped until `release` is called. NULL otherwise.
     */
    uint32_t *commit;
    const char *name; /* for errors, and for who looks at the process: the file's path */
    /* The last reference, views included, is gone. May be NULL. */
    void (*release)(void *user);
    void *user;
};

/* A section object with one reference; its views hold it too. */
nt_status mm_data_create(const struct mm_data_source *source, struct mm_data **out,
                         struct pe_error *err);
struct mm_data *mm_data_ref(struct mm_data *data);
void mm_data_unref(struct mm_data *data); /* NULL is allowed */
uint64_t mm_data_size(const struct mm_data *data);
uint32_t mm_data_protect(const struct mm_data *data);
uint32_t mm_data_attributes(const struct mm_data *data);

struct mm_data_map {
    uint64_t base;    /* 0 = anywhere; otherwise exactly there, a multiple of 64 KiB */
    uint64_t limit;   /* base 0: the view ends at or below; 0 = no limit */
    uint64_t offset;  /* in the section, a multiple of 64 KiB */
    uint64_t size;    /* bytes; 0 = to the end of the section */
    uint32_t protect; /* PAGE_*: of every page, and the most VirtualProtect gives back */
};
/*
 * Mirrors NtMapViewOfSection. `*base` and `*size` (whole pages) say where the view is.
 * STATUS_MAPPED_ALIGNMENT, STATUS_INVALID_VIEW_SIZE (offset or size beyond the section),
 * STATUS_SECTION_PROTECTION (more than the section has), STATUS_INVALID_PAGE_PROTECTION,
 * STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY.
 */
nt_status mm_data_map(struct mm_data *data, const struct mm_data_map *how, uint64_t *base,
                      uint64_t *size, struct pe_error *err);

struct mm_image_map {
    uint64_t base;    /* 0 = where the image prefers, or elsewhere; otherwise exactly there */
    uint64_t limit;   /* base 0: a view that moves ends at or below; 0 = no limit */
    int shared_fd;    /* backing of the SHARED PE sections; -1 = map them private */
    bool owns_shared; /* this process made that content: fixups are written there as well */
    /* The view is gone (not called when mm_image_map() fails). May be NULL. */
    void (*release)(void *user);
    void *user;
};
/*
 * Mirrors MapViewOfFile of a SEC_IMAGE section (facts 2.3): a sealed view that mm_unmap_view()
 * ends. An image that has to move is relocated when it is DYNAMIC_BASE; otherwise its content stays
 * as it is and the status is STATUS_IMAGE_NOT_AT_BASE, a success.
 */
nt_status mm_image_map(struct mm_section *section, const struct mm_image_map *how, uint64_t *base,
                       uint64_t *size, struct pe_error *err);
/*
 * Mirrors NtUnmapViewOfSection: any address inside a view of mm_data_map() or mm_image_map().
 * STATUS_NOT_MAPPED_VIEW for any other, STATUS_NOT_SUPPORTED for the view of a module that the
 * loader has mapped. What was written is in the file afterwards.
 */
nt_status mm_unmap_view(uint64_t address, struct pe_error *err);
/*
 * Mirrors FlushViewOfFile: writes the dirty pages of [address, address + *size), *size 0 = to the
 * end of the view, and says what range it was. Nothing is written for a view of the paging file or
 * of an image. STATUS_NOT_MAPPED_VIEW, STATUS_INVALID_PARAMETER.
 */
nt_status mm_flush_view(uint64_t *address, uint64_t *size, struct pe_error *err);

/*
 * Opens the page at `address` when it belongs to a SEC_RESERVE view and was committed elsewhere;
 * true = the access can be tried again. `access` as in ExceptionInformation[0] of an access
 * violation: 0 read, 1 write, 8 execute. For the fault handler: async-signal-safe.
 */
bool mm_commit_fault(uint64_t address, uint32_t access);
/*
 * The same for all pages of a buffer that the kernel has just refused (EFAULT): true = a page of it
 * has been opened, so the system call is worth another try.
 */
bool mm_commit_refresh(uint64_t address, uint64_t size);

/*
 * Why a page of a mapped file could not be had (SIGBUS), the third parameter of an in-page error:
 * STATUS_END_OF_FILE behind the end of a file that was cut off, STATUS_DISK_FULL for a page that
 * the file has no disk space for. Async-signal-safe.
 */
nt_status mm_page_error(uint64_t address);

/*
 * Shared memory of peldr itself (object records), which is no region of the image's world: mapped
 * MAP_SHARED, readable and writable.
 */
nt_status mm_host_map(int fd, uint64_t offset, uint64_t size, void **out, struct pe_error *err);
void mm_host_unmap(void *address, uint64_t size);
/*
 * A fresh memfd of `size` zero bytes, close-on-exec; `name` is what /proc shows. Sealed, it keeps
 * that size for ever, so that no other process can take pages from under a mapping (SIGBUS).
 */
nt_status mm_host_memory(const char *name, uint64_t size, bool sealed, int *fd,
                         struct pe_error *err);
/* Whether `fd` is such a sealed memfd of exactly that size: safe to map when it came from another
 * process. */
bool mm_host_is_memory(int fd, uint64_t size);

#endif
