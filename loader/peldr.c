/*
 * The public API: loading, symbols, running (loader/peldr.h).
 */
#include "loader/peldr.h"

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/later.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/process.h"
#include "loader/peldr_api.h"

#define SEARCH_FLAGS                                                                     \
    (PELDR_SEARCH_DLL_LOAD_DIR | PELDR_SEARCH_APPLICATION_DIR | PELDR_SEARCH_USER_DIRS | \
     PELDR_SEARCH_SYSTEM32 | PELDR_SEARCH_DEFAULT_DIRS)
#define KNOWN_FLAGS                                                                          \
    (PELDR_DONT_RESOLVE_DLL_REFERENCES | PELDR_AS_DATAFILE | PELDR_ALTERED_SEARCH_PATH |     \
     PELDR_AS_IMAGE_RESOURCE | PELDR_AS_DATAFILE_EXCLUSIVE | SEARCH_FLAGS | PELDR_MAP_ONLY | \
     PELDR_EXE | PELDR_PREFER_NATIVE)
#define DATA_FLAGS (PELDR_AS_DATAFILE | PELDR_AS_DATAFILE_EXCLUSIVE | PELDR_AS_IMAGE_RESOURCE)

/* ---- loading ---- */

static nt_status check_flags(uint32_t flags, struct pe_error *err)
{
    if (flags & ~(uint32_t)KNOWN_FLAGS) {
        return pe_fail(err, STATUS_INVALID_PARAMETER, "unknown flags 0x%x",
                       flags & ~(uint32_t)KNOWN_FLAGS);
    }
    if ((flags & PELDR_ALTERED_SEARCH_PATH) && (flags & SEARCH_FLAGS)) {
        return pe_fail(err, STATUS_INVALID_PARAMETER,
                       "PELDR_ALTERED_SEARCH_PATH cannot be combined with PELDR_SEARCH_* flags");
    }
    if ((flags & PELDR_EXE) &&
        (flags & (DATA_FLAGS | PELDR_MAP_ONLY | PELDR_DONT_RESOLVE_DLL_REFERENCES))) {
        return pe_fail(err, STATUS_INVALID_PARAMETER,
                       "PELDR_EXE cannot be combined with flags that run nothing");
    }
    return STATUS_SUCCESS;
}

static peldr_module *open_options(const struct ldr_load_options *options)
{
    struct pe_error *err = peldr_begin();
    struct ldr_module *module = NULL;
    nt_status status = options->name
                           ? check_flags(options->flags, err)
                           : pe_fail(err, STATUS_INVALID_PARAMETER, "the module name is NULL");
    /* Mapping alone runs nothing and needs no thread environment. */
    if (nt_ok(status) && !(options->flags & PELDR_MAP_ONLY)) {
        status = options->flags & PELDR_EXE ? peldr_enter_for_program(&err) : peldr_enter(&err);
    }
    if (nt_ok(status)) {
        status = ldr_load(options, &module, err);
    }
    if (nt_ok(status) && (options->flags & PELDR_EXE)) {
        ob_service_listen(NULL); /* peldr_run() is going to answer */
    } else if (nt_ok(status) && !(options->flags & PELDR_MAP_ONLY)) {
        peldr_answer_others();
    }
    return peldr_result(status) == 0 ? module : NULL;
}

peldr_module *peldr_open(const char *name, uint32_t flags)
{
    struct ldr_load_options options = {.name = name, .flags = flags};
    return open_options(&options);
}

peldr_module *peldr_open_memory(const void *bytes, size_t size, const char *name, uint32_t flags)
{
    struct ldr_load_options options = {
        .name = name, .bytes = bytes ? bytes : "", .size = bytes ? size : 0, .flags = flags};
    return open_options(&options);
}

peldr_module *peldr_open_at(const char *name, uint32_t flags, uint64_t base)
{
    struct ldr_load_options options = {.name = name, .flags = flags, .base = base};
    if (base == 0 || base % 0x10000 != 0) {
        peldr_result(pe_fail(peldr_begin(), STATUS_MAPPED_ALIGNMENT,
                             "a base is a multiple of 0x10000 other than 0, not 0x%llx",
                             (unsigned long long)base));
        return NULL;
    }
    return open_options(&options);
}

int peldr_close(peldr_module *module)
{
    struct pe_error *err;
    nt_status status = peldr_enter(&err);
    return peldr_result(nt_ok(status) ? ldr_unload(module, err) : status);
}

/* ---- symbols ---- */

static void *symbol(peldr_module *module, const char *name, uint16_t ordinal)
{
    struct pe_error *err;
    uint64_t address = 0;
    nt_status status = peldr_enter(&err);
    if (nt_ok(status)) {
        status = ldr_symbol(module, name, ordinal, &address, err);
    }
    return peldr_result(status) == 0 ? (void *)(uintptr_t)address : NULL;
}

void *peldr_sym(peldr_module *module, const char *name)
{
    if (!name) {
        peldr_result(pe_fail(peldr_begin(), STATUS_INVALID_PARAMETER, "the symbol name is NULL"));
        return NULL;
    }
    return symbol(module, name, 0);
}

void *peldr_sym_ordinal(peldr_module *module, uint16_t ordinal)
{
    return symbol(module, NULL, ordinal);
}

/* ---- the rest ---- */

int peldr_add_directory(const char *path)
{
    struct pe_error *err = peldr_begin();
    return peldr_result(path ? ldr_add_directory(path, err)
                             : pe_fail(err, STATUS_INVALID_PARAMETER, "the directory is NULL"));
}

int peldr_attach_thread(void)
{
    struct pe_error *err;
    return peldr_result(peldr_enter(&err));
}

int peldr_run(peldr_module *exe, int argc, char *const *argv)
{
    struct pe_error *err;
    nt_status status = peldr_enter_for_program(&err);
    if (nt_ok(status) && (!exe || ldr_find(NULL) != exe)) {
        status = pe_fail(err, STATUS_INVALID_HANDLE, "the module was not opened with PELDR_EXE");
    }
    if (nt_ok(status)) {
        status = ke_process_set_image(ldr_module_base(exe), ldr_module_path(exe), argc, argv, err);
    }
    if (nt_ok(status)) {
        peldr_answer_others_later();
        status = peldr_start_program(exe, err);
    }
    int result = peldr_result(status) == 0 ? (int)peldr_run_program(exe) : -1;
    ke_later_now();
    return result;
}
