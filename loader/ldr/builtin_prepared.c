/*
 * Builtin images that were written when peldr was built (builtin.h). What is left for run time is
 * the table of pointers through which thunks jump: nobody knows before where the host's functions
 * lie, but in a program at a fixed address, which is bound after it was linked (loader/bind.h).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"

void ldr_prepared_connect(const struct ldr_builtin *builtin, uint8_t *image)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    const void **pointers = (const void **)(image + prepared->pointers);
    pointers[0] = (const void *)ldr_trap_entry;
    for (uint32_t i = 0; i < prepared->function_count; i++)
        pointers[i + 1] = builtin->row(prepared->functions[i])->address;
}

bool ldr_prepared_is_bound(const struct ldr_builtin *builtin)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    return prepared != NULL && *prepared->bound == (const void *)ldr_trap_entry;
}

nt_status ldr_prepared_image(const struct ldr_builtin *builtin, uint8_t **bytes, uint64_t *size,
                             struct pe_error *err)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    uint8_t *image = malloc(prepared->size);
    if (image == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "builtin module %s: no memory", builtin->name);
    memcpy(image, prepared->bytes, prepared->size);
    ldr_prepared_connect(builtin, image);
    *bytes = image;
    *size = prepared->size;
    return STATUS_SUCCESS;
}

nt_status ldr_prepared_section(const struct ldr_builtin *builtin, struct mm_section **out,
                               struct pe_error *err)
{
    const struct ldr_prepared *prepared = builtin->prepared;
    const struct mm_inside image = {prepared->bytes, prepared->image_size, prepared->note,
                                    prepared->note_size};
    return mm_section_create_image_inside(&image, builtin->name, mm_windows(), out, err);
}

void ldr_builtin_connect(const struct ldr_builtin *builtin, const struct pe_image *mapped)
{
    if (builtin->prepared != NULL && !ldr_prepared_is_bound(builtin))
        ldr_prepared_connect(builtin, (uint8_t *)(uintptr_t)mapped->bytes.data);
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
