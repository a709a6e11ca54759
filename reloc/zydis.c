/*
 * Finds Zydis at run time (zydis.h). The library's name carries the version of its interface.
 */
#include "reloc/zydis.h"
#include <stdbool.h>

#ifdef HAVE_ZYDIS

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

static struct reloc_zydis functions;
static const struct reloc_zydis *_Atomic loaded;

/* What POSIX asks of dlsym(): a function's address passes through an object pointer. */
static bool find_all(void *library)
{
    const struct {
        const char *name;
        size_t offset;
    } wanted[] = {
        {"ZydisDecoderInit", offsetof(struct reloc_zydis, decoder_init)},
        {"ZydisDecoderDecodeInstruction", offsetof(struct reloc_zydis, decode_instruction)},
        {"ZydisDecoderDecodeFull", offsetof(struct reloc_zydis, decode_full)},
        {"ZydisFormatterInit", offsetof(struct reloc_zydis, formatter_init)},
        {"ZydisFormatterFormatInstruction", offsetof(struct reloc_zydis, format_instruction)},
        {"ZydisCalcAbsoluteAddress", offsetof(struct reloc_zydis, absolute_address)},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        void *address = dlsym(library, wanted[i].name);
        if (address == NULL)
            return false;
        *(void **)((char *)&functions + wanted[i].offset) = address;
    }
    return true;
}

static void load(void)
{
    char name[64];
    snprintf(name, sizeof(name), "libZydis.so.%u.%u", (unsigned)ZYDIS_VERSION_MAJOR(ZYDIS_VERSION),
             (unsigned)ZYDIS_VERSION_MINOR(ZYDIS_VERSION));
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL && find_all(library))
        loaded = &functions; /* it stays as long as the process */
    else if (library != NULL)
        dlclose(library);
}

const struct reloc_zydis *reloc_zydis(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return loaded;
}

const struct reloc_zydis *reloc_zydis_loaded(void)
{
    return loaded;
}

#endif
