/*
 * libpeldr: load Windows PE images (DLLs and EXEs) into this Linux process.
 *
 *     peldr_module *m = peldr_open("zlib1.dll", 0);
 *     uint32_t (PELDR_CDECL *crc32)(uint32_t, const void *, uint32_t) = peldr_sym(m, "crc32");
 *
 * The model is dlopen: one loader per process, thread-safe, and one error per thread. A function
 * that fails returns NULL or -1 and peldr_error() says why. Strings are UTF-8, sizes are bytes,
 * addresses are uint64_t so that a PE32+ image can be inspected in a 32-bit host too.
 *
 * Functions of an image follow Windows's calling convention: declare their pointers with
 * PELDR_WINAPI (the Win32 API: stdcall on i386) or PELDR_CDECL (C functions). On x86-64 both are
 * the same. A thread is set up for image code by its first call of any function here (or by
 * peldr_attach_thread); one that calls an image first is attached when that code first touches its
 * thread block. A thread that was created by an attached thread must call peldr_attach_thread()
 * before it calls an image.
 */
#ifndef PELDR_H
#define PELDR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PELDR_VERSION_MAJOR 0
#define PELDR_VERSION_MINOR 1
#define PELDR_VERSION_PATCH 0

#if defined(PELDR_STATIC)
#define PELDR_API
#else
#define PELDR_API __attribute__((visibility("default")))
#endif

#if defined(__x86_64__)
#define PELDR_WINAPI __attribute__((ms_abi))
#define PELDR_CDECL  __attribute__((ms_abi))
#else
#define PELDR_WINAPI __attribute__((stdcall))
#define PELDR_CDECL  __attribute__((cdecl))
#endif

typedef struct ldr_module peldr_module;

/* ---- errors ------------------------------------------------------------------------------------
 */

/* The last failure of this thread as one sentence ("STATUS_DLL_NOT_FOUND: ..."); NULL when the last
 * call succeeded. Valid until the thread's next peldr call. */
PELDR_API const char *peldr_error(void);
PELDR_API uint32_t peldr_error_status(void);  /* its NTSTATUS, 0 = success */
PELDR_API uint32_t peldr_error_win32(void);   /* the Win32 error code derived from it */
PELDR_API const char *peldr_error_rule(void); /* id of the rule that refused an image, or NULL */
PELDR_API const char *peldr_status_name(uint32_t status);

/* ---- loading -----------------------------------------------------------------------------------
 */

/* LoadLibraryEx's flags with their values; unknown bits are refused. */
enum {
    PELDR_DONT_RESOLVE_DLL_REFERENCES = 0x1,
    PELDR_AS_DATAFILE = 0x2,
    PELDR_ALTERED_SEARCH_PATH = 0x8,
    PELDR_AS_IMAGE_RESOURCE = 0x20,
    PELDR_AS_DATAFILE_EXCLUSIVE = 0x40,
    PELDR_SEARCH_DLL_LOAD_DIR = 0x100,
    PELDR_SEARCH_APPLICATION_DIR = 0x200,
    PELDR_SEARCH_USER_DIRS = 0x400,
    PELDR_SEARCH_SYSTEM32 = 0x800,
    PELDR_SEARCH_DEFAULT_DIRS = 0x1000,
    /* Map and relocate a private copy, run nothing, resolve nothing; images of any machine. */
    PELDR_MAP_ONLY = 0x10000,
    /* Load an EXE as the process's program: imports, TLS; nothing of it runs before peldr_run(). */
    PELDR_EXE = 0x20000,
    /* A DLL on the search path wins over a builtin module of the same name. */
    PELDR_PREFER_NATIVE = 0x40000,
};

/* Mirrors LoadLibraryEx: `name` is a path, or a bare name that is searched for. */
PELDR_API peldr_module *peldr_open(const char *name, uint32_t flags);
/* The same from bytes, which are copied; `name` is what the module is known by. */
PELDR_API peldr_module *peldr_open_memory(const void *bytes, size_t size, const char *name,
                                          uint32_t flags);
/* peldr_open at a wanted base instead of the image's preferred one (64 KiB multiple). */
PELDR_API peldr_module *peldr_open_at(const char *name, uint32_t flags, uint64_t base);
/* Mirrors FreeLibrary. 0, or -1 with the module untouched. */
PELDR_API int peldr_close(peldr_module *module);
/* Mirrors GetProcAddress; NULL when it is not exported. */
PELDR_API void *peldr_sym(peldr_module *module, const char *name);
PELDR_API void *peldr_sym_ordinal(peldr_module *module, uint16_t ordinal);

/* ---- Windows versions ---------------------------------------------------------------------------
 *
 * Which images are taken, how they are mapped and what they see differs between versions of
 * Windows. 7 and 10 are the 64-bit editions; XP is 5.1 for PE32 and its x64 edition for PE32+.
 */

enum {
    PELDR_WINDOWS_XP = 1,
    PELDR_WINDOWS_7 = 2,
    PELDR_WINDOWS_10 = 4,
    PELDR_WINDOWS_ALL = 7,
    PELDR_VERIFY_AS_PROGRAM = 0x100,
    PELDR_VERIFY_AS_DLL = 0x200,
};

/*
 * The version that this process stands for from now on; 10 unless it is set, or what the
 * environment variable PELDR_WINDOWS (xp, 7 or 10) says. To be set before anything is loaded. 0 or
 * -1.
 */
PELDR_API int peldr_set_windows(int version);
PELDR_API int peldr_windows(void);

/* A rule that an image breaks (`peldr verify`). Everything is valid for the call of `visit`. */
struct peldr_broken_rule {
    int windows;       /* the version that refuses the image by it */
    const char *id;    /* "sections.contiguous" */
    const char *text;  /* what must hold */
    int versions;      /* all that have the rule */
    const char *stage; /* "section" "process" "loader" "move": when Windows asks */
    uint32_t status;   /* NTSTATUS */
    const char *field; /* "SizeOfImage", "VirtualAddress of PE section 3" */
    uint64_t offset;   /* of the field in the file; UINT64_MAX = it is none */
    uint64_t value;    /* of the field */
    const char *found; /* "section 3 begins at 0x5000, the previous one ends at 0x4000" */
};
typedef void (*peldr_rule_visit)(void *user, const struct peldr_broken_rule *rule);
/*
 * Would Windows load it? Asks each version of the set for every rule that the image breaks; `visit`
 * may be NULL. An image with IMAGE_FILE_DLL is asked as a DLL, any other as a program, unless
 * PELDR_VERIFY_AS_* is or'ed to the set. Loads and
 * runs nothing, and does not look for what the image imports. The set of versions that accept it (0
 * = none), or -1 when the file cannot be read.
 */
PELDR_API int peldr_verify(const char *path, int versions, peldr_rule_visit visit, void *user);
PELDR_API int peldr_verify_memory(const void *bytes, size_t size, const char *name, int versions,
                                  peldr_rule_visit visit, void *user);

/* Adds a directory that is searched for DLLs (before PELDR_PATH's). */
PELDR_API int peldr_add_directory(const char *path);
PELDR_API int peldr_attach_thread(void);

/*
 * Runs an EXE opened with PELDR_EXE as Windows runs a process: `argv` becomes its command line.
 * Does not return when the image calls ExitProcess (the host process ends); returns the entry
 * point's value otherwise. Other processes find this one once the EXE is open; they are answered
 * when it has run for some milliseconds, or waits.
 */
PELDR_API int peldr_run(peldr_module *exe, int argc, char *const *argv);

/*
 * The other side of an image's CreateProcess: `socket` is the descriptor that the parent's peldr
 * has put into this process. Takes over what it sends, reports, loads the program and runs it; ends
 * the process with the program's exit code, or with the NTSTATUS of what kept it from running.
 * Returns -1 only when there is no such parent. For the peldr command, and for programs that stand
 * in for it (PELDR_COMMAND).
 */
PELDR_API int peldr_run_child(int socket);

/* ---- exceptions --------------------------------------------------------------------------------
 */

/* An exception that code of an image raised and nobody handled (EXCEPTION_RECORD). */
struct peldr_exception {
    uint32_t code;  /* 0xC0000005 ... */
    uint32_t flags; /* EXCEPTION_NONCONTINUABLE ... */
    uint64_t address;
    uint32_t parameter_count;
    uint64_t parameters[15]; /* of an access violation: 0 read, 1 write or 8 execute; address */
    const char *name;        /* "STATUS_ACCESS_VIOLATION", "" = unknown; lives for ever */
    char where[128];         /* "zlib1.dll+0x1234 (0x...)" */
};

/*
 * Calls `body` such that an exception which is raised by images that it calls, and which none of
 * their handlers takes, ends the call instead of the process: like __try/__except around it. 0 =
 * body returned; 1 = it was ended, and `*exception` says by what; -1 = this thread could not be set
 * up, body was not called.
 *
 * Functions of the host between this one and the image are left as longjmp leaves them: they must
 * hold no lock and own no memory at that moment. The image's own state is whatever it left behind.
 */
PELDR_API int peldr_call_guarded(void (*body)(void *user), void *user,
                                 struct peldr_exception *exception);

/* ---- snapshots ---------------------------------------------------------------------------------
 *
 * For programs that call the same image again and again and want each call to find what the first
 * one found: fuzzers, tests. Going back costs what was written since, not what there is.
 */

/*
 * Keeps the present state of all loaded images, in place of the state that was kept before.
 *
 * Put back by peldr_reset(): the pages of images and of their allocations (VirtualAlloc, heaps,
 * malloc, static TLS, FLS) with content and protections; views and allocations that came since are
 * gone, allocations that went are there again. Modules that came since are unloaded without a call
 * of their entry points, whoever has opened them, and reference counts are restored; builtin
 * modules that came since stay. Handles, C streams and descriptors that were opened since are
 * closed; handles that were closed since are open again. The calling thread's TEB (last error, TLS
 * slots) and its C runtime state (errno, rand); handlers that images have installed.
 *
 * Not put back: SHARED PE sections, mapped files and shared memory; what is in files, and positions
 * in them; the state of kernel objects; C streams that were closed since; environment, current
 * directory, locale; stacks; variables of the host.
 *
 * One thread takes the snapshot and goes back. In between no other thread may be inside an image.
 * 0, or -1 and no snapshot: STATUS_NOT_SUPPORTED when a thread of an image is running, or when the
 * kernel does not tell which pages are private (/proc/self/pagemap); STATUS_NO_MEMORY.
 */
PELDR_API int peldr_snapshot(void);
/*
 * Goes back to the snapshot, as often as wanted; also after peldr_call_guarded() ended a call. Not
 * to be called by code that an image has called.
 *
 * 0, or -1 with everything as it was: STATUS_INVALID_PARAMETER when there is no snapshot,
 * STATUS_NOT_SUPPORTED when another thread took it or threads came or went since,
 * STATUS_DLL_NOT_FOUND or STATUS_NOT_MAPPED_VIEW when a module or a view is gone that was there.
 * Any other failure (out of memory) leaves the images unusable but for another attempt.
 */
PELDR_API int peldr_reset(void);
/* Forgets the snapshot and leaves everything as it is now. */
PELDR_API void peldr_snapshot_drop(void);

/* ---- modules of the host
 * ------------------------------------------------------------------------- */

struct peldr_export {
    const char *name;    /* NULL = by ordinal only */
    uint16_t ordinal;    /* 0 = assigned */
    const void *address; /* a function with the convention that the image expects */
};
/* Images that import from `name` ("host.exe") find these functions. The table is copied. */
PELDR_API int peldr_register_module(const char *name, const struct peldr_export *exports,
                                    size_t count);

/* ---- asking
 * --------------------------------------------------------------------------------------- */

struct peldr_module_info {
    const char *name; /* valid as long as the module */
    const char *path; /* "" for builtin modules and memory */
    uint64_t base, preferred_base;
    uint32_t size; /* SizeOfImage rounded up to a page */
    uint16_t machine;
    uint8_t builtin;
    int32_t references;   /* -1 = pinned */
    uint64_t entry_point; /* address, 0 = none */
};
PELDR_API int peldr_module_info(peldr_module *module, struct peldr_module_info *out);
/* Loaded modules in load order: NULL begins, NULL ends. */
PELDR_API peldr_module *peldr_next_module(peldr_module *module);
/* The module that an address lies in, or NULL. */
PELDR_API peldr_module *peldr_module_at(uint64_t address);

struct peldr_region {
    uint64_t address, size, allocation_base;
    uint32_t rva;                                          /* within a module, else 0 */
    uint32_t state, type;                                  /* MEM_COMMIT ..., MEM_IMAGE ... */
    uint32_t protect, initial_protect, allocation_protect; /* PAGE_* */
    char section[9];     /* PE section name, "" for the headers, or none */
    const char *backing; /* "image_file" "paging_file" "shared_section" "data_file" "none" */
    uint64_t pages_private;
};
/* The regions of a module, as VirtualQuery reports them, split where the PE section changes.
 * `*cursor` starts at 0. 1 = a region, 0 = end, -1 = error. */
PELDR_API int peldr_next_region(peldr_module *module, uint32_t *cursor, struct peldr_region *out);
/* Mirrors VirtualQuery for any address of the process. */
PELDR_API int peldr_query(uint64_t address, struct peldr_region *out);
PELDR_API const char *peldr_protect_name(uint32_t protect);

struct peldr_relocation {
    const char *outcome; /* "not_needed" "applied" "refused" */
    /* "applied" by this load, "cached": its pages are shared with all that moved to the same base;
     * "" where there are no fixups applied */
    const char *source;
    const char *reason; /* why it moved, or why nothing was done */
    uint64_t preferred_base, actual_base;
    uint32_t fixups[16]; /* per type */
    uint32_t fixups_total;
    uint32_t pages_dirtied;
};
PELDR_API int peldr_relocation(peldr_module *module, struct peldr_relocation *out);

/*
 * Where would `name` come from for an image in directory `importer_dir` (NULL = none)? 2 = a
 * builtin module, 1 = a file, 0 = nowhere; `resolved` gets the path or name, `searched` (may be
 * NULL) the directories looked at, one a line. `machine` 0 = any.
 */
PELDR_API int peldr_resolve(const char *name, const char *importer_dir, uint16_t machine,
                            char *resolved, size_t resolved_size, char *searched,
                            size_t searched_size);

/* ---- other processes ----------------------------------------------------------------------------
 *
 * Processes of the same user in which peldr runs: it has loaded an image, by `peldr run` or in a
 * host program of either word size. They answer on a thread of their own.
 */

struct peldr_walked_region {
    uint64_t address, size, allocation_base;
    uint32_t state, type;                 /* MEM_COMMIT ..., MEM_IMAGE ...; MEM_FREE included */
    uint32_t protect, allocation_protect; /* PAGE_* */
    const char *name;                     /* image or file behind it, "" = none; for the call */
    uint64_t committed;                   /* bytes */
    int counted;                          /* 0 = the kernel does not tell, and these are 0: */
    uint64_t resident_bytes, private_bytes, shared_bytes; /* now shared with another process */
};
/* Anything but 0 ends the walk and becomes its result. */
typedef int (*peldr_region_visit)(void *user, const struct peldr_walked_region *region);
/*
 * Every region of a process's address space in ascending order, as VirtualQuery reports it there.
 * 0, what `visit` returned, or -1: STATUS_INVALID_CID (there is no such process, or no peldr in
 * it), STATUS_ACCESS_DENIED (another user's), STATUS_IO_TIMEOUT (it is stopped).
 */
PELDR_API int peldr_walk(uint32_t process, peldr_region_visit visit, void *user);

struct peldr_walked_module {
    uint64_t base, size;
    const char *name, *path; /* for the call; path "" = builtin, or from memory */
    const char *relocation;  /* peldr_relocation.source: "applied" "cached" or "" */
    uint8_t builtin;
};
typedef int (*peldr_module_visit)(void *user, const struct peldr_walked_module *module);
/* The images of a process in load order; results as of peldr_walk(). */
PELDR_API int peldr_walk_modules(uint32_t process, peldr_module_visit visit, void *user);

struct peldr_object {
    const char *type;    /* "section" "event" "semaphore" "mutex" "timer", or "image" */
    const char *name;    /* "Global\\..." or plain; of an image its base name */
    const char *path;    /* the file behind a section or an image, "" = none */
    uint64_t size;       /* bytes, of sections and images */
    uint32_t protect;    /* PAGE_* of a section, otherwise 0 */
    uint32_t attributes; /* SEC_* of a section or an image */
    uint32_t holder_count;
    const uint32_t *holders; /* ids of the processes that hold it */
};
typedef int (*peldr_object_visit)(void *user, const struct peldr_object *object);
/*
 * The named objects of this user that some process holds, and the image files that some process has
 * loaded: sections first, images last, by name within. All of `object` is valid for the call.
 */
PELDR_API int peldr_each_object(peldr_object_visit visit, void *user);

/* ---- section objects ----------------------------------------------------------------------------
 */

/*
 * Shared memory and mapped files by Windows's rules: the objects that images get from
 * CreateFileMapping, for the host itself. So a native process and an image can share a section, by
 * its name or by its handle: the value of a peldr_section pointer is the HANDLE that images of this
 * process know the section by. Names are UTF-8 and begin with "Local\" or "Global\", or with
 * neither, which is "Local\"; they are the same for all processes of the user, of either word
 * size. Statuses are those of NtCreateSection and NtMapViewOfSection.
 */
typedef struct peldr_section peldr_section;

enum {
    /* Protection of a section, the most that its views may have */
    PELDR_PAGE_READONLY = 0x2,
    PELDR_PAGE_READWRITE = 0x4,
    PELDR_PAGE_WRITECOPY = 0x8,
    PELDR_PAGE_EXECUTE_READ = 0x20,
    PELDR_PAGE_EXECUTE_READWRITE = 0x40,
    PELDR_PAGE_EXECUTE_WRITECOPY = 0x80,
    /* Attributes, to be or'ed to it; without one of the first three: PELDR_SEC_COMMIT */
    PELDR_SEC_IMAGE = 0x1000000,
    PELDR_SEC_RESERVE = 0x4000000,
    PELDR_SEC_COMMIT = 0x8000000,
    PELDR_SEC_NOCACHE = 0x10000000,
    /* Access of handles and views (FILE_MAP_*) */
    PELDR_MAP_COPY = 0x1, /* alone: what is written stays in the view */
    PELDR_MAP_WRITE = 0x2,
    PELDR_MAP_READ = 0x4,
    PELDR_MAP_EXECUTE = 0x20,
    PELDR_MAP_ALL = 0xF001F,
};

/*
 * Mirrors CreateFileMapping. `fd` -1 = memory of the paging file, `size` bytes; otherwise a file
 * that the descriptor can read (and write, for the READWRITE protections), `size` 0 = all of it. A
 * file that is too short grows. The descriptor stays the caller's and may be closed at once. With a
 * name that exists the existing section is opened, as large as it is, and `*existed` is 1 (may be
 * NULL). NULL on failure.
 */
PELDR_API peldr_section *peldr_section_create(const char *name, int fd, uint64_t size,
                                              uint32_t protect, int *existed);
/* Mirrors OpenFileMapping: PELDR_MAP_* say what the views of this handle may be. */
PELDR_API peldr_section *peldr_section_open(const char *name, uint32_t access);
/* Mirrors CloseHandle: views stay, and keep the section. 0 or -1. */
PELDR_API int peldr_section_close(peldr_section *section);

struct peldr_section_info {
    uint64_t size;       /* bytes: of a file exactly, otherwise whole pages */
    uint32_t protect;    /* PAGE_* that it was created with */
    uint32_t attributes; /* SEC_*, as NtQuerySection tells them */
};
PELDR_API int peldr_section_info(peldr_section *section, struct peldr_section_info *out);

/*
 * Mirrors MapViewOfFileEx: maps `size` bytes (0 = to the end) from `offset`, a multiple of 64 KiB.
 * `base` NULL = anywhere; otherwise exactly there, a multiple of 64 KiB. An image section is mapped
 * whole. NULL on failure.
 */
PELDR_API void *peldr_section_map(peldr_section *section, uint32_t access, uint64_t offset,
                                  size_t size, void *base);
/* Mirrors VirtualAlloc(MEM_COMMIT) in a view of a PELDR_SEC_RESERVE section: the pages become
 * usable in every process that has them mapped. 0 or -1. */
PELDR_API int peldr_section_commit(void *address, size_t size);
/* Mirrors FlushViewOfFile: writes what is dirty; `size` 0 = to the end of the view. 0 or -1. */
PELDR_API int peldr_section_flush(const void *address, size_t size);
/* Mirrors UnmapViewOfFile: any address inside the view. 0 or -1. */
PELDR_API int peldr_section_unmap(const void *address);

/* ---- the image cache ----------------------------------------------------------------------------
 *
 * The page-aligned image that a load maps is kept in a file, and later processes of the user, of
 * either word size, map that: $XDG_CACHE_HOME/peldr, else ~/.cache/peldr. Where no such folder can
 * be used, images are built in memory; loading gives the same result with a cache and without.
 */

/*
 * Where it is from now on: a folder, which is made when it is missing, "off", or NULL for what the
 * environment says (PELDR_CACHE, a folder or "off"). `limit`: the bytes that it may take on the
 * disk; 0 = PELDR_CACHE_SIZE, or 2 GiB. Up to 16 entries that this process has used stay open for
 * its next loads; it lets go of them now. 0, or -1 when the folder cannot be used (peldr_error()
 * says why): then there is no cache.
 */
PELDR_API int peldr_set_cache(const char *place, uint64_t limit);
/* The folder in use, for free(); NULL = there is no cache, and peldr_error() says why. `limit` may
 * be NULL. */
PELDR_API char *peldr_cache_folder(uint64_t *limit);

struct peldr_cache_entry {
    const char *name;  /* of the entry's file in the folder */
    const char *path;  /* of the image file; "" = the entry is damaged */
    uint64_t base;     /* that it was relocated to; 0 = as the file has it */
    uint64_t size;     /* bytes on the disk */
    int64_t last_used; /* seconds since 1970; exact to a minute */
    uint8_t in_use;    /* some process has it open or mapped */
    uint8_t damaged;   /* cut short, changed, somebody else's: it is never used */
    uint8_t stale;     /* the image file is gone, or another one by now */
};
/* Anything but 0 ends the walk and becomes its result. */
typedef int (*peldr_cache_visit)(void *user, const struct peldr_cache_entry *entry);
/* The entries by their last use, the oldest first. Strings are valid for the call. 0, what `visit`
 * returned, or -1. */
PELDR_API int peldr_each_cached(peldr_cache_visit visit, void *user);

struct peldr_cache_removed {
    uint32_t entries;
    uint32_t kept_in_use; /* would have gone, too */
    uint64_t bytes;
};
/* Removes what is stale or damaged or was left half-built, and the least recently used entries
 * beyond `limit` bytes (0 = the cache's limit). `removed` may be NULL. 0 or -1. */
PELDR_API int peldr_cache_prune(uint64_t limit, struct peldr_cache_removed *removed);
/* Removes all entries that are not in use. */
PELDR_API int peldr_cache_clear(struct peldr_cache_removed *removed);

/* Reserves address space so that an image has to move. 0 or -1 (taken already). Undo with release.
 */
PELDR_API int peldr_reserve(uint64_t address, uint64_t size);
PELDR_API int peldr_release(uint64_t address);

#ifdef __cplusplus
}
#endif

#endif
