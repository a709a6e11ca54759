/*
 * Which frame handlers may be called (chain.h): RtlIsValidHandler's questions.
 *
 * Sources: the PE specification (load configuration, SEHandlerTable; DllCharacteristics NO_SEH) and
 * Microsoft's descriptions of SafeSEH and of data execution prevention. As there, a program whose
 * image has NX_COMPAT gets no handler called that lies in no image; without it, or without a
 * program, any memory serves that is there. Tables are read when the exception occurs.
 */
#include "loader/ke/chain.h"

#ifdef __i386__

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/native.h"
#include "loader/ldr/imagemap.h"
#include "loader/mm/maps.h"
#include "pe/image.h"

/* Reads memory that an image may have made unreadable; the bytes that came. */
static size_t peek(uintptr_t address, void *out, size_t size)
{
    struct iovec local = {out, size}, remote = {(void *)address, size};
    ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

static bool is_listed(const struct ldr_image_range *image, uint32_t rva)
{
    uint32_t entries[256];
    for (uint32_t i = 0; i < image->safe_seh_count;) {
        uint32_t count = image->safe_seh_count - i;
        if (count > sizeof(entries) / sizeof(*entries))
            count = sizeof(entries) / sizeof(*entries);
        if (peek(image->safe_seh + i * sizeof(*entries), entries, count * sizeof(*entries)) !=
            count * sizeof(*entries))
            return false;
        for (uint32_t j = 0; j < count; j++)
            if (entries[j] == rva)
                return true;
        i += count;
    }
    return false;
}

/* PROT_* of a page; 0 also where nothing is mapped. */
static int protection(uintptr_t address)
{
    struct mm_maps maps;
    struct mm_map_entry entry;
    int prot = 0;
    if (!mm_maps_open(&maps))
        return PROT_EXEC;
    while (mm_maps_next(&maps, &entry) && entry.start <= address)
        if (address < entry.end)
            prot = entry.prot;
    mm_maps_close(&maps);
    return prot;
}

/* Data execution prevention is on for programs that declare that they can live with it. */
static bool has_nx_policy(void)
{
    struct ldr_image_range program;
    return ldr_image_at((uintptr_t)ke_teb()->ProcessEnvironmentBlock->ImageBaseAddress, &program) &&
           (program.characteristics & IMAGE_DLLCHARACTERISTICS_NX_COMPAT);
}

/*
 * Whether a call would get as far as an instruction. Pages that did once are remembered: the
 * question costs a look at all mappings, and a page that was changed since costs an exception.
 */
static bool is_callable(uintptr_t handler)
{
    static uintptr_t known[64];
    uintptr_t page = (handler >> 12) + 1; /* 0 is an empty slot */
    uintptr_t *slot = &known[page % (sizeof(known) / sizeof(*known))];
    if (__atomic_load_n(slot, __ATOMIC_RELAXED) == page)
        return true;
    int needed = has_nx_policy() ? PROT_EXEC : PROT_EXEC | PROT_READ;
    bool callable = (protection(handler) & needed) != 0;
    if (callable)
        __atomic_store_n(slot, page, __ATOMIC_RELAXED);
    return callable;
}

bool ke_frame_handler_allowed(uintptr_t handler)
{
    const struct ke_teb *teb = ke_teb();
    struct ldr_image_range image;
    if (ke_is_builtin(handler))
        return true;
    if (handler >= (uintptr_t)teb->StackLimit && handler < (uintptr_t)teb->StackBase)
        return false;
    if (!ldr_image_at(handler, &image))
        return !has_nx_policy() && is_callable(handler);
    if (image.builtin)
        return true;
    if (image.characteristics & IMAGE_DLLCHARACTERISTICS_NO_SEH)
        return false;
    if (image.has_safe_seh)
        return is_listed(&image, (uint32_t)(handler - image.base));
    return is_callable(handler);
}

#endif
