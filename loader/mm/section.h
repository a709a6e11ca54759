/*
 * Image section objects (SEC_IMAGE): what a view maps (design, decision 1).
 *
 * A section object holds a page-aligned image: an entry of the image cache (cache.h) or a sealed
 * memfd, built once from the file, or the file itself for PE sections whose raw data is
 * page-aligned. Views map it MAP_PRIVATE, so clean pages are shared by everyone who maps the same
 * object. PE sections that are SHARED and writable are
 * left to a backing file that the caller brings when it maps a view (object manager, ob/backing.h).
 */
#ifndef MM_SECTION_H
#define MM_SECTION_H

#include <stdint.h>
#include <sys/stat.h>

#include "pe/image.h"
#include "reloc/reloc.h"

struct mm_section;

/*
 * The Windows version that this process stands for: 10 unless it was set. To be set before images
 * are loaded; what exists stays what it is.
 */
enum pe_windows mm_windows(void);
void mm_set_windows(enum pe_windows windows);

/* Where one run of pages of the image comes from. */
enum mm_source {
    MM_SOURCE_OBJECT, /* the object: headers, unaligned PE sections, zero fill */
    MM_SOURCE_FILE,   /* the image file itself */
    MM_SOURCE_SHARED, /* the shared backing: SHARED + WRITE PE sections */
};

struct mm_extent {
    uint32_t rva, size; /* page-aligned, ascending, disjoint */
    enum mm_source source;
    uint64_t offset;    /* in the source */
    uint32_t protect;   /* initial NT protection */
    int32_t pe_section; /* index of the PE section, -1 for the headers */
};

/* What tells one file from another: two loads of the same file share its SHARED PE sections. */
struct mm_file_id {
    uint64_t dev, ino, size;
    int64_t mtime_sec, mtime_nsec;
};

/*
 * Creates an image section object from an open file, like NtCreateSection(SEC_IMAGE). Checks the
 * rules of pe/rules.h, and reads and maps the image as `windows` does. `name` is used in errors
 * only. The descriptor stays the caller's.
 */
nt_status mm_section_create_image(int fd, const char *name, enum pe_windows windows,
                                  struct mm_section **out, struct pe_error *err);
/* The same when fstat() of the descriptor has just said `st`. */
nt_status mm_section_create_image_of(int fd, const struct stat *st, const char *name,
                                     enum pe_windows windows, struct mm_section **out,
                                     struct pe_error *err);
/*
 * Where processes find each other's image section objects. An object that comes from here is only a
 * candidate: it says by itself which file it was made of, and once it says so it cannot be changed.
 */
struct mm_image_registry {
    /* A descriptor of the next object that is held for `key`, for the caller to close; -1 = there
     * is none. `*cursor` begins at 0. */
    int (*find)(uint64_t key, uint32_t *cursor);
    /* Makes `fd` known until it is withdrawn: the ticket for that, 0 = it is not known. With
     * `first`, only if there is no other for the key (`*other` says so). */
    uint32_t (*publish)(uint64_t key, int fd, bool first, bool *other);
    void (*withdraw)(uint32_t ticket, int fd);
};
/* For all image files from now on; `registry` lives for ever. Without one nothing is shared. */
void mm_section_set_registry(const struct mm_image_registry *registry);

/* The same from bytes in memory, which are copied. */
nt_status mm_section_create_image_from_memory(const void *bytes, uint64_t size, const char *name,
                                              enum pe_windows windows, struct mm_section **out,
                                              struct pe_error *err);
/*
 * The same from an image that is a part of this program: `bytes` are constants of it, page by page
 * as they are mapped, and `note` is what mm_section_note_inside() has said of them when the program
 * was built. Nothing is copied or checked again where the program's own file can be mapped.
 */
struct mm_inside {
    const void *bytes;
    uint32_t size;
    const uint8_t *note;
    uint32_t note_size;
};
nt_status mm_section_create_image_inside(const struct mm_inside *image, const char *name,
                                         enum pe_windows windows, struct mm_section **out,
                                         struct pe_error *err);
/* The note, for the caller to free(). Refuses what cannot be mapped as it is, too. */
nt_status mm_section_note_inside(const void *bytes, uint64_t size, const char *name,
                                 enum pe_windows windows, uint8_t **note, uint32_t *note_size,
                                 struct pe_error *err);
/*
 * To be called soon after creation: the object is final, and other processes can have it. ImageBase
 * in its header can no longer follow the first view (mm_view_patch_image_base()).
 */
nt_status mm_section_finish(struct mm_section *section, struct pe_error *err);
/*
 * What is found out about the mapped image once need not be found out again as long as the section
 * lives: its maker may leave marks, and find them when the same file is loaded again.
 */
uint32_t mm_section_marks(const struct mm_section *section);
void mm_section_mark(struct mm_section *section, uint32_t marks);
/* What relocated the pages of a section that a view got because its image had to move; NULL for any
 * other. */
const struct reloc_plan *mm_section_fixups(const struct mm_section *section);
/* Sections that are kept for the next load of the same file are let go. */
void mm_section_forget_known(void);
struct mm_section *mm_section_ref(struct mm_section *section);
/* The object goes with its last reference; views hold one. NULL is allowed. */
void mm_section_unref(struct mm_section *section);

/* The headers, as PE_LAYOUT_FILE over the header bytes only: directories are read from a view. */
const struct pe_headers *mm_section_headers(const struct mm_section *section);
enum pe_windows mm_section_windows(const struct mm_section *section);
const struct mm_extent *mm_section_extents(const struct mm_section *section, uint32_t *count);
uint32_t mm_section_size(const struct mm_section *section); /* SizeOfImage rounded to a page */
/* False for a section made from memory. */
bool mm_section_file_id(const struct mm_section *section, struct mm_file_id *out);
/* Bytes of all SHARED extents together; 0 = none. They lie at their extents' offsets in the
 * backing. */
uint64_t mm_section_shared_size(const struct mm_section *section);
/* Writes the initial content of the SHARED extents into `fd` (an empty file of that size). */
nt_status mm_section_write_shared(const struct mm_section *section, int fd, struct pe_error *err);

/*
 * What mm_section_create_image() would say of the file's headers, without building anything: the
 * status, and the headers when they are accepted.
 */
nt_status mm_file_check_image(int fd, const char *name, enum pe_windows windows,
                              struct pe_headers *out, struct pe_error *err);

/* A whole file, read-only, for parsers. The span is unmapped by mm_file_unmap(). */
nt_status mm_file_map(int fd, const char *name, struct pe_span *out, struct pe_error *err);
/* The same, of any size, with the headers and the section table only: the rest reads as zeroes. */
nt_status mm_file_map_headers(int fd, const char *name, struct pe_span *out, struct pe_error *err);
void mm_file_unmap(struct pe_span span);

#endif
