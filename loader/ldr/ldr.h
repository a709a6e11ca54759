/*
 * The module loader: search, module graph, snapping, TLS, entry points, unload (facts 3).
 *
 * One loader per process. Every function here takes the loader lock (recursive, as on Windows), so
 * code that runs inside DllMain may call them. Paths and names are UTF-8; host paths are Linux
 * paths, Windows paths are the Z:\ view of them (ldr/path.h).
 */
#ifndef LDR_LDR_H
#define LDR_LDR_H

#include "loader/mm/view.h"
#include "pe/rules.h"
#include "reloc/reloc.h"

struct ldr_module;

enum ldr_flags {
    LDR_DONT_RESOLVE = 0x1,   /* DONT_RESOLVE_DLL_REFERENCES */
    LDR_AS_DATAFILE = 0x2,    /* LOAD_LIBRARY_AS_DATAFILE */
    LDR_ALTERED_SEARCH = 0x8, /* LOAD_WITH_ALTERED_SEARCH_PATH */
    LDR_AS_IMAGE_RESOURCE = 0x20,
    LDR_AS_DATAFILE_EXCLUSIVE = 0x40,
    LDR_SEARCH_DLL_LOAD_DIR = 0x100,
    LDR_SEARCH_APPLICATION_DIR = 0x200,
    LDR_SEARCH_USER_DIRS = 0x400,
    LDR_SEARCH_SYSTEM32 = 0x800,
    LDR_SEARCH_DEFAULT_DIRS = 0x1000,
    /* peldr's own */
    LDR_MAP_ONLY =
        0x10000,       /* map and relocate a private copy: not in the module list, any machine */
    LDR_EXE = 0x20000, /* the process's own EXE: imports, TLS, application directory */
    LDR_PREFER_NATIVE = 0x40000, /* a DLL on the search path wins over a builtin of its name */
};

struct ldr_load_options {
    const char *name;  /* path or bare name; with `bytes`: the name it is known by */
    const void *bytes; /* load from memory (copied); NULL = from a file */
    uint64_t size;
    uint32_t flags; /* enum ldr_flags */
    uint64_t base;  /* wanted base instead of the preferred one; 0 = none */
};

nt_status ldr_load(const struct ldr_load_options *options, struct ldr_module **out,
                   struct pe_error *err);

/* The Windows version that this process stands for (mm_windows()). */
enum pe_windows ldr_windows(void);

/*
 * Would Windows load it? The answer that ldr_load() would give, without loading: the rules of every
 * stage up to the first at which the image is refused; where no process can have it at its
 * preferred base it is mapped and really moved. Nothing of it runs and what it imports is not
 * looked at.
 */
struct ldr_verification {
    uint8_t windows; /* versions to ask for, a set */
    uint8_t role;    /* enum pe_role; 0 = as its Characteristics say */
    /* Called for each broken rule of each version; may be NULL. */
    void (*visit)(void *user, enum pe_windows windows, const struct pe_rule *rule,
                  const struct pe_finding *found);
    void *user;
};
/* `accepted` = the versions that accept it. A failure is one of reading, not a verdict. */
nt_status ldr_verify(int fd, const char *name, const struct ldr_verification *how,
                     uint8_t *accepted, struct pe_error *err);
nt_status ldr_verify_memory(struct pe_span bytes, const char *name,
                            const struct ldr_verification *how, uint8_t *accepted,
                            struct pe_error *err);

/*
 * Initialises what an LDR_EXE load has brought in, its own TLS callbacks last, before its entry
 * point is called: a program's modules want the command line, which the load does not know.
 */
nt_status ldr_start(struct ldr_module *program, struct pe_error *err);
/*
 * The initial thread's CONTEXT, which static DLLs are handed as lpReserved and may change
 * (behaviours, DLL loading). Who starts a program fills it before ldr_start() and goes by it after.
 */
void *ldr_startup_context(void);
#define LDR_STARTUP_CONTEXT_SIZE 0x4d0u /* x86-64's, the larger one */
/* Mirrors FreeLibrary: one reference down, unload in reverse order at zero. */
nt_status ldr_unload(struct ldr_module *module, struct pe_error *err);
void ldr_module_addref(struct ldr_module *module);
void ldr_module_pin(struct ldr_module *module);

/* Mirrors GetProcAddress; `name` NULL = by ordinal. Resolves forwarders, loading their modules. */
nt_status ldr_symbol(struct ldr_module *module, const char *name, uint16_t ordinal,
                     uint64_t *address, struct pe_error *err);
/* Mirrors GetModuleHandle: by base name or path without case; NULL = the EXE. No reference taken.
 */
struct ldr_module *ldr_find(const char *name);
struct ldr_module *ldr_find_by_address(uint64_t address); /* any address inside the image */
/* Mirrors DisableThreadLibraryCalls: refused for modules with static TLS. */
nt_status ldr_disable_thread_calls(struct ldr_module *module);

/* In load order; NULL begins and ends. Hold the lock over a walk. */
struct ldr_module *ldr_next(struct ldr_module *module);
void ldr_lock(void);
bool ldr_trylock(void); /* false: another thread holds it */
void ldr_unlock(void);

/* False for a pointer that is no module (any more). The other functions must not be given such. */
bool ldr_module_valid(const struct ldr_module *module);
const char *ldr_module_name(const struct ldr_module *module); /* "zlib1.dll" */
const char *ldr_module_path(
    const struct ldr_module *module); /* host path; "" for memory and builtin */
const uint16_t *ldr_module_windows_path(
    const struct ldr_module *module); /* NUL-terminated UTF-16 */
uint64_t ldr_module_base(const struct ldr_module *module);
struct mm_view *ldr_module_view(const struct ldr_module *module); /* NULL for data files */
/* NULL for a data file of which only the signatures are right. */
const struct pe_image *ldr_module_image(const struct ldr_module *module);
const struct reloc_plan *ldr_module_relocation(const struct ldr_module *module);
/* The fixups were not applied by this load: its pages are those of the cache's relocated form. */
bool ldr_module_relocation_is_cached(const struct ldr_module *module);
/* "" when it did not move. What holds the preferred base is looked for when this is asked first. */
const char *ldr_module_moved_because(struct ldr_module *module);
bool ldr_module_is_builtin(const struct ldr_module *module);
int32_t ldr_module_references(const struct ldr_module *module);   /* -1 = pinned */
uint64_t ldr_module_entry_point(const struct ldr_module *module); /* 0 = none */

/* ---- search ---- */
nt_status ldr_add_directory(const char *path,
                            struct pe_error *err); /* user directories, host paths */
nt_status ldr_set_dll_directory(const char *path); /* SetDllDirectory; NULL = default */
void ldr_set_default_flags(uint32_t flags);        /* SetDefaultDllDirectories */
enum ldr_found { LDR_FOUND_NOTHING, LDR_FOUND_FILE, LDR_FOUND_BUILTIN };
/*
 * Where would `name` come from, asked by a module in directory `importer_dir` (may be NULL)? API
 * sets are resolved first; `resolved` gets the path or the builtin's name. Loads nothing. `machine`
 * 0 = any, else files of another machine are passed over with a note in `searched`, a
 * newline-separated list of the directories that were looked at (may be NULL).
 */
enum ldr_found ldr_resolve(const char *name, const char *importer_dir, uint32_t flags,
                           uint16_t machine, char *resolved, size_t resolved_size, char *searched,
                           size_t searched_size);
/* The host DLL of an API-set contract, or NULL when `name` is none (ldr/apiset.c). */
const char *ldr_apiset_host(const char *name);

/* ---- threads (called by ke/) ---- */
/* What the loader keeps per thread; lives inside ke's thread record. */
struct ldr_thread {
    void **tls_field; /* &TEB.ThreadLocalStoragePointer */
    struct ldr_thread *next, *prev;
    uint32_t slot_count;
};
/* Registers a thread and makes its static TLS blocks; no code of an image runs. */
nt_status ldr_thread_register(struct ldr_thread *thread, void **tls_field, struct pe_error *err);
void ldr_thread_unregister(struct ldr_thread *thread);
/* TLS callbacks and DllMain with DLL_THREAD_ATTACH / DETACH, in init order / reverse. */
void ldr_thread_attach(void);
void ldr_thread_detach(void);

/* DLL_PROCESS_DETACH to everything in reverse order (lpReserved non-NULL); the views stay mapped.
 */
void ldr_process_detach(void);
/* Unloads everything that is still loaded; for hosts that end their use of peldr. */
void ldr_shutdown(void);

/* The PEB_LDR_DATA that PEB.Ldr points to. */
void *ldr_peb_ldr(void);
/* The loader lock as a critical section for PEB.LoaderLock and LdrLockLoaderLock callers. */

#endif
