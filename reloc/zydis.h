/*
 * Zydis, loaded when something is to be disassembled: few processes need it, and mapping and
 * relocating it takes longer than loading most images.
 */
#ifndef RELOC_ZYDIS_H
#define RELOC_ZYDIS_H

#ifdef HAVE_ZYDIS

#include <Zydis/Zydis.h>

struct reloc_zydis {
    __typeof__(&ZydisDecoderInit) decoder_init;
    __typeof__(&ZydisDecoderDecodeInstruction) decode_instruction;
    __typeof__(&ZydisDecoderDecodeFull) decode_full;
    __typeof__(&ZydisFormatterInit) formatter_init;
    __typeof__(&ZydisFormatterFormatInstruction) format_instruction;
    __typeof__(&ZydisCalcAbsoluteAddress) absolute_address;
};

/*
 * NULL when the version that this was compiled against is not installed. The first call loads it,
 * which takes the locks of malloc() and of the dynamic linker: a caller that may have interrupted
 * their holder asks reloc_zydis_loaded().
 */
const struct reloc_zydis *reloc_zydis(void);
const struct reloc_zydis *reloc_zydis_loaded(void);

#endif
#endif
