/*
 * Builtin images that were written when peldr was built (builtin.h). What is left for run time is
 * the table of pointers through which thunks jump: nobody knows before where the host's functions
 * lie.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"

static nt_status no_memory(const struct ldr_builtin *builtin, struct pe_error *err)
{
    return pe_fail(err, STATUS_NO_MEMORY, "builtin module %s: no memory", builtin->name);
}

/* The pointer table, malloc'ed; NULL = no memory. */
static void **make_pointers(const struct ldr_builtin *builtin, uint32_t *size)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    *size = (prepared->function_count + 1) * (uint32_t)sizeof(void *);
    void **pointers = malloc(*size);
    if (pointers == NULL)
        return NULL;
    pointers[0] = (void *)ldr_trap_entry;
    for (uint32_t i = 0; i < prepared->function_count; i++)
        pointers[i + 1] = (void *)(uintptr_t)builtin->row(prepared->functions[i])->address;
    return pointers;
}

nt_status ldr_prepared_image(const struct ldr_builtin *builtin, uint8_t **bytes, uint64_t *size,
                             struct pe_error *err)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    uint32_t pointers_size;
    void **pointers = make_pointers(builtin, &pointers_size);
    uint8_t *image = malloc(prepared->size);
    if (image != NULL && pointers != NULL) {
        memcpy(image, prepared->bytes, prepared->size);
        memcpy(image + prepared->pointers, pointers, pointers_size);
        *bytes = image;
        *size = prepared->size;
        free(pointers);
        return STATUS_SUCCESS;
    }
    free(image);
    free(pointers);
    return no_memory(builtin, err);
}

nt_status ldr_prepared_section(const struct ldr_builtin *builtin, struct mm_section **out,
                               struct pe_error *err)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    struct mm_section *section = NULL;
    uint32_t size;
    void **pointers = make_pointers(builtin, &size);
    if (pointers == NULL)
        return no_memory(builtin, err);
    nt_status status = mm_section_create_image_from_memory(
        prepared->bytes, prepared->size, builtin->name, mm_windows(), &section, err);
    if (nt_ok(status) && !mm_section_patch(section, prepared->pointers, pointers, size))
        status = no_memory(builtin, err);
    free(pointers);
    if (nt_ok(status))
        *out = section;
    else
        mm_section_unref(section);
    return status;
}

void ldr_prepared_bind(const struct ldr_builtin *builtin, const struct pe_image *mapped)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    for (uint32_t i = 0; i < prepared->data_count; i++) {
        void **location = builtin->row(prepared->data[i].from)->location;
        if (location != NULL)
            *location = (uint8_t *)(uintptr_t)mapped->bytes.data + prepared->data[i].rva;
    }
}
