/*
 * The directories that are searched for modules, and their order (facts 3.2).
 *
 * Without LDR_SEARCH_* flags (in the call or from ldr_set_default_flags):
 *   1. the application directory: that of the EXE, or of the host program. With LDR_ALTERED_SEARCH
 * the importer's directory stands in its place.
 *   2. the importer's directory: that of the module opened by path. Windows looks there with
 *      LDR_ALTERED_SEARCH only; here always, because a DLL that a library user opens by path is
 * expected to find its siblings.
 *   3. the directory of SetDllDirectory
 *   4. the user directories (ldr_add_directory), then those of PELDR_PATH, separated by colons
 *   5. the current directory, unless SetDllDirectory was called
 * System32 holds the builtin modules; like KnownDLLs they win over files, unless LDR_PREFER_NATIVE
 * puts them at the end. Linux's PATH is not searched.
 *
 * With such flags: the importer's directory (DLL_LOAD_DIR), the application directory, and 3 and 4
 * (USER_DIRS), as far as the flags name them.
 *
 * Locks: the functions here that have no other word take the loader lock.
 */
#ifndef LDR_SEARCH_H
#define LDR_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing list of strings that it owns, each once. */
struct ldr_strings {
    char **items;
    size_t count, capacity;
};
/* Adds a copy unless it is there; false when memory ran out. */
bool ldr_strings_add(struct ldr_strings *list, const char *text, size_t length);
void ldr_strings_free(struct ldr_strings *list);

/* ---- names (no lock) ---- */
bool ldr_is_path(const char *name);
/* The part behind the last separator. */
const char *ldr_base_name(const char *name);
/*
 * The file name that Windows would look for: blanks at the end are dropped, dots at the end are
 * dropped and mean "no extension", and a name without extension gets the default one (".exe" with
 * LDR_EXE). False: does not fit.
 */
bool ldr_file_name(const char *name, uint32_t flags, char *out, size_t size);

/* ---- directories ---- */
/* The directory of the EXE; NULL = that of the host program again. The string is copied. */
void ldr_search_set_application_dir(const char *dir);
/* Never NULL. Valid until it is set again: for callers that hold the loader lock. */
const char *ldr_search_application_dir(void);

/* The directories in order, each once. The caller holds the loader lock. False: out of memory. */
bool ldr_search_directories(const char *importer_dir, uint32_t flags, struct ldr_strings *out);

#endif
