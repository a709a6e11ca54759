/*
 * The loader's record of a module, and the registry of all of them.
 *
 * What images can see of it (LDR_DATA_TABLE_ENTRY) is written from this record by entry.c and never
 * read back. Everything here is guarded by the loader lock.
 */
#ifndef LDR_MODULE_H
#define LDR_MODULE_H

#include "loader/ldr/builtin.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/list.h"
#include "loader/ob/backing.h"

/* The machine whose code runs in this process. */
#if defined(__x86_64__)
#define LDR_HOST_MACHINE IMAGE_FILE_MACHINE_AMD64
#else
#define LDR_HOST_MACHINE IMAGE_FILE_MACHINE_I386
#endif

enum ldr_state {
    LDR_STATE_LOADED,       /* mapped; its entry point has not been called */
    LDR_STATE_INITIALIZING, /* DLL_PROCESS_ATTACH is running */
    LDR_STATE_READY,
    LDR_STATE_FAILED,    /* the entry point refused */
    LDR_STATE_UNLOADING, /* on its way out */
    LDR_STATE_DETACHED,  /* the process has ended; still mapped */
};

enum ldr_kind {
    LDR_KIND_IMAGE,   /* in the module list */
    LDR_KIND_PRIVATE, /* mapped as an image for its owner alone: LDR_MAP_ONLY, LDR_AS_IMAGE_RESOURCE
                       */
    LDR_KIND_DATA,    /* flat: LDR_AS_DATAFILE */
};

/* The ways of asking for a listed module (index.h). */
enum ldr_index { LDR_INDEX_NAME, LDR_INDEX_FILE, LDR_INDEX_RECORD, LDR_INDEX_COUNT };

#define LDR_NO_TLS_SLOT 0xffffffffu

/* Static TLS of a module (facts 3.7). The template is a copy: image code may protect its own pages.
 */
struct ldr_tls {
    uint32_t slot; /* LDR_NO_TLS_SLOT = the module has no TLS directory */
    uint32_t alignment;
    uint32_t template_size, zero_fill;
    uint32_t copied; /* bytes of the template that are kept; zeroes follow */
    void *template;
    uint64_t callbacks; /* address of the callback array, 0 = none */
    bool starts_late;   /* the callbacks are not told of the process's start (init.c) */
};

struct ldr_entry;

struct ldr_module {
    struct ldr_link order; /* in the list of its kind */
    struct ldr_link init;  /* in the initialisation order; alone until its entry point was called */
    struct ldr_module *chain[LDR_INDEX_COUNT]; /* index.c; set while it is in a list */
    enum ldr_kind kind;
    enum ldr_state state;

    char *name; /* base name */
    char *path; /* host path, "" = memory or builtin */
    uint16_t *windows_path;
    bool has_file;
    struct mm_file_id file;
    const struct ldr_builtin *builtin;

    struct mm_view *view;
    int file_fd; /* the file, which says that it is mapped (ob/fileshare.h); -1 = none */
    struct ob_backing *backing;  /* of its SHARED PE sections */
    uint64_t data_address;       /* LDR_KIND_DATA: where the bytes are */
    struct pe_span data_file;    /* ... mapped from a file */
    struct pe_image *data_image; /* ... NULL when only the signatures are right */
    struct reloc_plan relocation;
    bool relocation_cached;  /* another load has applied it, this one found the pages so */
    char moved_because[256]; /* "" also when it has to be looked up (ldr_module_moved_because()) */
    uint64_t entry_shift; /* how far fixups have moved the entry point beside AddressOfEntryPoint */

    bool exe;   /* the process's program */
    bool inert; /* no imports, TLS, entry point: builtin, DONT_RESOLVE, EXE as DLL, other machine */
    bool is_static; /* came in as a dependency of the EXE */
    bool no_thread_calls;

    int32_t references; /* by ldr_load, not by importers */
    uint32_t pending;   /* loads in progress that brought it in */
    bool pinned;
    bool reached, was_ready; /* scratch of the collector */
    struct ldr_link doomed;
    struct ldr_module **needs; /* modules whose code or data this one refers to */
    uint32_t need_count, need_capacity;

    struct ldr_tls tls;
    struct ldr_entry *entry;
};

extern struct ldr_link ldr_load_order; /* LDR_KIND_IMAGE, the EXE first */
extern struct ldr_link ldr_init_order; /* in the order in which entry points were called */
extern struct ldr_link ldr_unlisted;   /* the other kinds */

#define LDR_FOR_EACH(module, head, member)                                                   \
    for (struct ldr_module *module = LDR_CONTAINER((head)->next, struct ldr_module, member); \
         &module->member != (head);                                                          \
         module = LDR_CONTAINER(module->member.next, struct ldr_module, member))

/* For process exit: false when a thread that is stuck in image code keeps the lock. Windows ends
 * such threads first and then calls no entry point either. */
bool ldr_lock_for_exit(void);

/* A module that is in no list yet; `path` NULL = none. The base name is taken from `name`. */
nt_status ldr_module_create(enum ldr_kind kind, const char *name, const char *path, bool builtin,
                            struct ldr_module **out, struct pe_error *err);
/* Unmaps, closes and frees whatever the module holds; it must be in no list but its own order list.
 */
void ldr_module_destroy(struct ldr_module *module);

/* Puts a mapped module into the list of its kind; `first` = before all others (the EXE). */
void ldr_module_list(struct ldr_module *module, bool first);
struct ldr_module *ldr_find_base_name(const char *name);
struct ldr_module *ldr_find_file(const struct mm_file_id *file);
struct ldr_module *ldr_find_exe(void);

/* What names mean before any search: the default extension appended, API sets followed (facts 3.1,
 * 3.6). malloc'ed; NULL = no memory. */
char *ldr_canonical_name(const char *name, uint32_t flags);

/* The address AddressOfEntryPoint names; 0 where Windows would not call it. */
uint64_t ldr_module_callable_entry(const struct ldr_module *module);

/* Records that `module` needs `other`. `*added` (may be NULL): whether it was new. */
nt_status ldr_module_need(struct ldr_module *module, struct ldr_module *other, bool *added,
                          struct pe_error *err);
void ldr_module_unneed(struct ldr_module *module, const struct ldr_module *other);

/* Unloads every module that nothing leads to any more (collect.c). */
void ldr_collect(void);

#endif
