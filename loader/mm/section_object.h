/*
 * The inside of an image section object (internal to mm/).
 */
#ifndef MM_SECTION_OBJECT_H
#define MM_SECTION_OBJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "loader/mm/cache.h"
#include "loader/mm/section.h"
#include "reloc/reloc.h"

struct mm_plan;
struct mm_later;
struct mm_view;

/*
 * What an image section object is made of: the last page of its memfd, behind the image. Another
 * process takes the object for its own when all of this is what it has found out itself.
 */
struct mm_label {
    char magic[16];
    uint64_t dev, ino, file_size;
    int64_t mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
    uint64_t layout; /* digest of the headers and of what the pages are made of */
    uint64_t image_size;
    /* 0 from here on in what a looker compares. */
    uint64_t settled; /* the file had not been written to just before it was read */
};

struct mm_section {
    atomic_uint references, marks;
    char *name;
    struct pe_image image; /* bytes and file_headers: a copy of the file's headers */
    struct mm_extent *extents;
    uint32_t extent_count;
    uint32_t size;
    uint64_t shared_size;
    bool shows_headers; /* the mapped NT headers are those of the file, directories included */
    bool readable_throughout; /* every page can be read; there are no gaps */
    int object_fd;            /* memfd, cache entry or the program's file (section_inside.c) */
    uint64_t object_offset;   /* the page at RVA r lies at this + r; 0 but in the program's file */
    int file_fd;              /* for MM_SOURCE_FILE extents, or -1 */
    bool has_file_id;
    struct mm_file_id file_id;
    bool moved; /* relocated to lie at cache_key.base, by `fixups` */
    struct reloc_plan fixups;
    uint8_t *_Atomic fixed_pages;  /* a bit a page: fixups are in it; NULL = not known */
    struct mm_cache_key cache_key; /* of a file's section, cached or not */
    struct mm_later *later;        /* the object comes later (section_later.c); else NULL */
    bool inside;                   /* object_fd is the program's, which all such sections share */
    bool cached;                   /* object_fd is that of `entry`; sealed from the start */
    bool reusable;                 /* all that the key says of the file is known to hold */
    atomic_bool finished;          /* a module or a section of an image has had it */
    struct mm_cache_entry entry;
    /* Under `lock`: */
    pthread_mutex_t lock;
    bool viewed; /* some view was mapped */
    bool sealed; /* the memfd cannot change any more */
    struct mm_label label;
    uint32_t ticket; /* of the registry, 0 = not published */
};

const char *mm_section_name(const struct mm_section *section);
/* Index of the extent that holds `rva`, or of the first one behind it (`*inside` false). */
uint32_t mm_section_extent_index(const struct mm_section *section, uint32_t rva, bool *inside);
/* A view is being mapped: all but the first find the object sealed. */
nt_status mm_section_note_view(struct mm_section *section, struct pe_error *err);
/* Writes into the headers of an object that is not sealed yet; false when that is not possible. */
bool mm_section_patch(struct mm_section *section, uint32_t rva, const void *bytes, uint32_t len);

/* program.c: a descriptor of the program's file, opened once; -1 = it cannot be had. */
int mm_program_fd(void);

/* section_build.c: the memfd, then its content by the plan, from the file `fd` or, if that is -1,
 * from `bytes`. */
nt_status mm_section_create_object(struct mm_section *section, struct pe_error *err);
nt_status mm_section_fill(const struct mm_section *section, struct pe_span bytes, int fd,
                          const struct mm_plan *plan, struct pe_error *err);
/* Room for what is going to be written there, where having it before makes writing faster: whether
 * that is so. */
bool mm_section_reserve(int fd, uint64_t at, uint64_t size);
/* The file bytes of the plan, to where they belong in the object. */
enum mm_pieces { MM_PIECES_ALL, MM_PIECES_TOGETHER, MM_PIECES_APART };
nt_status mm_section_write_pieces(int object, struct pe_span bytes, int fd,
                                  const struct mm_plan *plan, enum mm_pieces which);
/* Whether an object's content is that of the file by the plan. `base_may_differ`: a patched
 * ImageBase does not count. */
bool mm_section_has_content(const struct mm_section *section, int object, int fd,
                            const struct mm_plan *plan, bool base_may_differ);
/* Where ImageBase lies in the file and how wide it is. */
uint64_t mm_section_base_field(const struct mm_section *section, uint32_t *width);

struct mm_file_state {
    struct stat st;
    struct timespec read_at; /* before st */
    bool absent;             /* there is no entry of the cache for it, as far as is known */
};
/* Whether a later change of the file would show in its change time (section_share.c). */
bool mm_file_is_settled(const struct mm_file_state *state);

/* section.c: an empty record with one reference. NULL = no memory. */
struct mm_section *mm_section_alloc(const char *name);
/* section.c: an object of the same file that exists, or a new one. `state` NULL = not from a file;
 * of a file nothing but the size of `bytes` is used. */
nt_status mm_section_find_or_build(struct mm_section *section, struct pe_span bytes, int fd,
                                   const struct mm_file_state *state, const struct mm_plan *plan,
                                   struct pe_error *err);
/* section.c: the section is that of a file. */
void mm_section_set_file(struct mm_section *section, const struct mm_cache_key *key);
/* section.c: what follows from headers and extents. */
void mm_section_settle(struct mm_section *section);
/* section.c: can the file be mapped as an image may need it? */
bool mm_file_is_mappable(int fd);

/* section_note.c: what an entry of the cache says of its section. 0 = it does not fit. */
uint32_t mm_note_write(const struct mm_section *section, bool settled, uint8_t note[MM_CACHE_NOTE]);
/* Fills headers, extents and sizes; false when the note is none. */
bool mm_note_read(struct mm_section *section, const uint8_t *note, uint32_t size,
                  enum pe_windows windows, bool *settled);

/* section_cached.c: image objects that are entries of the cache. */

struct mm_cache_key mm_cached_key(const struct stat *st, const char *name, enum pe_windows windows);
/*
 * The section of a file whose entry is trusted, or that this process has had before: nothing of the
 * file is read. `base` of the key: 0, or what it is relocated for. NULL: there is none; `*absent`:
 * none that would have to be compared, either.
 */
struct mm_section *mm_cached_open(const struct mm_cache_key *key, int fd, const char *name,
                                  bool *absent);
/* The section of an entry whose content is known; takes the entry. NULL: it says something else. */
struct mm_section *mm_cached_take(const struct mm_cache_key *key, struct mm_cache_entry *entry,
                                  const uint8_t *note, uint32_t note_size, int fd,
                                  const char *name);
/*
 * Headers and extents of `section` are known: an entry that is the same, or a new one. False: to be
 * built in memory.
 */
bool mm_cached_adopt_or_build(struct mm_section *section, struct pe_span bytes, int fd,
                              const struct mm_file_state *state, const struct mm_plan *plan);

/* The section's object is that of the entry, which is taken. */
void mm_cached_use(struct mm_section *section, const struct mm_cache_key *key,
                   const struct mm_cache_entry *entry);
/* The file is what the key says. */
bool mm_cached_unchanged(const struct mm_cache_key *key, int fd);
/* section_later.c: sections without an object, `later` not NULL. */

/* Something lies at the preferred base. */
bool mm_section_base_taken(const struct mm_section *section);
/* Puts building off, where that is worth it; takes the plan then. */
bool mm_later_begin(struct mm_section *section, int fd, const struct mm_file_state *state,
                    struct mm_plan *plan);
/* The section is loaded again: who does so keeps `fd` open until it is final. */
void mm_later_offer(struct mm_section *section, int fd);
/* The object is needed: the section has one from now on, as any other. */
nt_status mm_later_build(struct mm_section *section, struct pe_error *err);
/* The section is final: as above unless its relocated form is all that was needed. */
nt_status mm_later_finish(struct mm_section *section, struct pe_error *err);
/* Makes the pages as the file has them, for a view at `base` that is going to be relocated. False:
 * they cannot be had; `*again`: the relocated form is there by now. */
bool mm_later_lay_out(struct mm_section *section, uint64_t base, bool *again);
/* The view of such pages has been mapped: large data, in which most pages are expected to have
 * fixups, is not in the object; the view gets it in memory of its own. */
nt_status mm_later_fill(struct mm_view *view, struct pe_error *err);
/* How many of the `len` bytes at `rva` come before what views have been filled with like that. */
uint32_t mm_later_unfilled(const struct mm_section *section, uint32_t rva, uint32_t len);
/* What was laid out is the caller's. False: there is nothing, or the file was changed meanwhile. */
bool mm_later_take_pending(struct mm_section *section, struct mm_cache_build *out);
/* A view has the relocated form; what was laid out is not needed. */
void mm_later_served(struct mm_section *section);
void mm_later_end(struct mm_section *section);

/* section_relocated.c: where a file's image goes when it has to move, and its relocated form. */

/* The place to try, a few of them, ending at or below `limit` (0 = none); 0 = there is none. */
uint64_t mm_section_stable_base(const struct mm_section *section, uint64_t limit, uint32_t attempt);
/* The section relocated to lie at `base`, a new reference; NULL when it is not in the cache. */
struct mm_section *mm_section_relocated(const struct mm_section *section, uint64_t base);

/* section_fixed.c: which pages Windows would have as copies since they were relocated. */

/* It has not been found out yet. */
bool mm_section_fixed_wanted(const struct mm_section *section);
void mm_section_find_fixed(struct mm_section *section);
bool mm_section_is_fixed(const struct mm_section *section, uint64_t page);

/* section_known.c: sections of cache entries that are kept open after their last use. */

/* The section leaves the list, with one reference; or NULL. */
struct mm_section *mm_known_take(const struct mm_cache_key *key, const char *name);
/* The section's last reference is gone: it is kept instead of the one that was not used for the
 * longest time. The one that is to be destroyed is returned, which may be the section; NULL = none.
 */
struct mm_section *mm_known_put(struct mm_section *section);

/* section_share.c: one object per image file for all processes. */

/*
 * The section's headers and extents are known, or again when mm_share_claim() failed: takes a live
 * object of the file, waiting for a moment for one that is being built. False: to be built.
 */
bool mm_share_adopt(struct mm_section *section, int fd, const struct mm_file_state *state,
                    const struct mm_plan *plan);
/* The fresh object is to be the one for all, if wanted; false when another process was first. */
bool mm_share_claim(struct mm_section *section, bool first);
/* The object has been filled: labels it, or gives the claim up if the file has changed meanwhile.
 */
void mm_share_label(struct mm_section *section, int fd);
void mm_share_withdraw(struct mm_section *section);

/*
 * file.c: a span of the file's size that holds its headers and its section table; the rest of the
 * file is not read and shows as zeroes. Freed by mm_file_unmap().
 */
nt_status mm_file_read_headers(int fd, const char *name, enum pe_windows windows,
                               struct pe_span *out, struct stat *st, struct pe_error *err);

#endif
