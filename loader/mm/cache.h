/*
 * The per-user cache of image objects (design, decision 1; internal to mm/ but for the last part).
 *
 * An entry is one file: the page-aligned image (the page at RVA r lies at offset r, zero fill is a
 * hole), then one page that holds the entry's note. Views map it MAP_PRIVATE. It is written under
 * no name, and gets its name when it is complete. An entry says what it was made of by its name (a
 * digest of its key) and in its note; what it cannot say is that nobody has written to it since, or
 * that the disk has kept it through a power cut: that is recorded beside the entries, in an index,
 * with the entry's inode and change time and the boot in which somebody compared it with the image
 * file. Without a record that fits, an entry is found untrusted, and whoever found it compares it
 * or throws it away.
 *
 * Any file of the cache may be missing, cut short, somebody else's or full of other bytes: what
 * comes of that is a new entry, or no cache. No function here fails loudly: without the cache
 * images are built in memory.
 */
#ifndef MM_CACHE_H
#define MM_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "pe/status.h"

/* Of an image file's name, for people who read memory maps; of characters other than letters,
 * digits, '.', '_' and '-' nothing is left. */
#define MM_CACHE_IMAGE_NAME 24u

/* What an entry was made of. No padding: its bytes are compared and digested. */
struct mm_cache_key {
    uint64_t dev, ino, size; /* of the image file */
    int64_t mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
    uint64_t base;    /* relocated to lie there; 0 = as the file has it */
    uint32_t windows; /* enum pe_windows that it was read by */
    uint32_t layout;  /* which pages are here and which are mapped from the image file; a version */
    char name[MM_CACHE_IMAGE_NAME]; /* cut, the rest zero */
};

/* Bytes that fit into an entry's note, for whoever builds it to fill. */
#define MM_CACHE_NOTE 3840u

struct mm_cache_entry {
    int fd;              /* read-only, of a description that marks the entry as in use (flock) */
    uint64_t image_size; /* bytes, whole pages */
    bool trusted;        /* its content is known to be what was built */
    /* How it looked when it was found: */
    uint64_t dev, ino;
    struct timespec ctime;
    bool settled; /* whoever writes to it from now on changes that */
};

/*
 * Finds the entry of a key. `note` has room for MM_CACHE_NOTE bytes. False when there is none that
 * can be used at all: nothing is open then.
 */
bool mm_cache_find(const struct mm_cache_key *key, struct mm_cache_entry *out, void *note,
                   uint32_t *note_size);
/* There is a cache; no system call once that is known. */
bool mm_cache_is_there(void);
/*
 * For an entry that was kept open: it is still trusted and has its name, after one system call when
 * nothing has happened. False: to be closed and looked for again.
 */
bool mm_cache_still_trusted(const struct mm_cache_entry *entry);
/* The caller has compared an untrusted entry with the image file: it is what it should be... An
 * entry that somebody wrote to meanwhile stays untrusted. */
void mm_cache_trust(const struct mm_cache_key *key, struct mm_cache_entry *entry);
/* ... or it is not: its name goes, unless it is another file's by now, and it is closed. */
void mm_cache_reject(const struct mm_cache_key *key, struct mm_cache_entry *entry);
void mm_cache_close(struct mm_cache_entry *entry);

struct mm_cache_build {
    int fd; /* read-write, empty: what is not written of image_size stays a hole */
    uint64_t image_size;
    int lock; /* this process builds the entry for all; -1 = others may, too */
    struct mm_cache_place *place;
    char name[32]; /* that it has while it is built; "" = none */
};
/* From this size on nobody builds what another is building: smaller images are built sooner than
 * a builder is waited for. */
#define MM_CACHE_TURNS ((uint64_t)1 << 20)

enum mm_cache_begun {
    MM_CACHE_UNUSABLE, /* there is no cache, or no room */
    MM_CACHE_BEGUN,
    MM_CACHE_LOOK_AGAIN, /* another process was building it, and has ended */
};
/* Waits while another process builds the same large image, though not for ever: then both do. */
enum mm_cache_begun mm_cache_begin(const struct mm_cache_key *key, uint64_t image_size,
                                   struct mm_cache_build *out);
/*
 * The entry is complete: it gets its name and is trusted, by its maker too. `path` of the image
 * file is for lists. False: the entry cannot be had (no room, another was first); look again or go
 * on without. `build` is closed in any case.
 */
bool mm_cache_commit(const struct mm_cache_key *key, struct mm_cache_build *build, const void *note,
                     uint32_t note_size, const char *path, struct mm_cache_entry *out);
void mm_cache_abandon(struct mm_cache_build *build);

/* ---- for the loader's users ------------------------------------------------------------------ */

/*
 * Where the cache is from now on: a folder, "off", or NULL for what the environment says:
 * PELDR_CACHE (a folder or "off"), else $XDG_CACHE_HOME/peldr, else ~/.cache/peldr. `limit`: bytes
 * that the entries may take; 0 = the default, or PELDR_CACHE_SIZE (bytes, or with K, M, G).
 */
nt_status mm_cache_set_place(const char *place, uint64_t limit, struct pe_error *err);
/* The folder, malloc'ed; NULL = there is none, and `*why` (static) says why. Creates it. */
char *mm_cache_folder(const char **why);
uint64_t mm_cache_limit(void);

struct mm_cache_info {
    const char *name; /* of the entry's file */
    const char *path; /* of the image file, "" = cannot be read */
    uint64_t base;    /* 0 = as the file has it */
    uint64_t size;    /* bytes that it takes on the disk */
    int64_t last_used;
    bool in_use;  /* some process has it mapped */
    bool damaged; /* cut short, foreign, unreadable: it is never used */
    bool stale;   /* the image file is gone or is another by now */
};
/* By last use, the oldest first; `visit` returns false to stop. Strings live for the call. */
nt_status mm_cache_each(bool (*visit)(void *user, const struct mm_cache_info *info), void *user,
                        struct pe_error *err);
struct mm_cache_removed {
    uint32_t entries, kept_in_use;
    uint64_t bytes;
};
/* Removes what is stale or damaged, what died builders left, and the least recently used entries
 * above `limit` bytes; never what is in use. */
nt_status mm_cache_prune(uint64_t limit, struct mm_cache_removed *removed, struct pe_error *err);
/* Removes every entry that is not in use. */
nt_status mm_cache_clear(struct mm_cache_removed *removed, struct pe_error *err);

#endif
