/* peldr disasm: disassembly (Zydis) from the entry point, an export or an RVA, with names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pe/exports.h"
#include "pe/imports.h"
#include "tools/cli.h"
#include "tools/doc.h"
#ifdef HAVE_ZYDIS
#include "reloc/zydis.h"
#endif

int cmd_disasm(int argc, char **argv);

struct disasm_options {
    const char *export_name;
    uint32_t rva;
    bool has_rva;
    uint32_t count;
};

static const struct argp_option options[] = {
    {"export", 'e', "NAME", 0, "Begin at this export", 0},
    {"rva", 'r', "RVA", 0, "Begin at this RVA", 0},
    {"count", 'n', "N", 0, "Stop after N instructions (40)", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    struct disasm_options *o = own;
    uint64_t value;
    switch (key) {
    case 'e':
        o->export_name = arg;
        return 0;
    case 'r':
    case 'n':
        value = cli_number(state, arg);
        if (value > UINT32_MAX)
            argp_error(state, "%s does not fit 32 bits", arg);
        if (key == 'n') {
            o->count = (uint32_t)value;
        } else {
            o->rva = (uint32_t)value;
            o->has_rva = true;
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#ifdef HAVE_ZYDIS

/* "KERNEL32.dll!Sleep" for the IAT slot at `rva`, imports and delay imports. */
static json_t *import_name(const struct pe_image *image, uint32_t rva)
{
    bool (*const begin[])(const struct pe_image *, struct pe_import_module_iter *) = {
        pe_import_modules, pe_delay_import_modules};
    struct pe_import_module_iter modules;
    struct pe_import_module module;
    struct pe_import_iter it;
    struct pe_import import;
    for (int i = 0; i < 2; i++) {
        if (!begin[i](image, &modules))
            continue;
        while (pe_import_module_next(&modules, &module) > 0) {
            pe_imports(image, &module, &it);
            while (pe_import_next(&it, &import) > 0)
                if (import.thunk_rva == rva && import.by_ordinal)
                    return doc_format("%.*s!#%u", (int)module.name.len, module.name.ptr,
                                      import.ordinal);
                else if (import.thunk_rva == rva)
                    return doc_format("%.*s!%.*s", (int)module.name.len, module.name.ptr,
                                      (int)import.name.len, import.name.ptr);
        }
    }
    return NULL;
}

static json_t *export_name(const struct pe_image *image, uint32_t rva)
{
    struct pe_exports exports;
    struct pe_export export;
    struct pe_export_iter it = {.exports = &exports};
    if (!pe_exports_open(image, &exports))
        return NULL;
    while (pe_export_next(&it, &export))
        if (export.rva == rva && !export.forwarder.ptr)
            return export.name.ptr ? doc_str(export.name) : doc_format("#%u", export.ordinal);
    return NULL;
}

/* Names what an instruction refers to: an IAT slot it calls through, or an export it jumps to. */
static json_t *target_name(const struct pe_image *image, const ZydisDecodedInstruction *insn,
                           const ZydisDecodedOperand *operands, uint64_t address)
{
    for (unsigned i = 0; i < insn->operand_count_visible; i++) {
        ZyanU64 target;
        uint64_t rva;
        json_t *name;
        if (!ZYAN_SUCCESS(reloc_zydis()->absolute_address(insn, &operands[i], address, &target)))
            continue;
        rva = target - image->h.image_base;
        if (rva >= image->h.size_of_image)
            continue;
        name = operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY ? import_name(image, (uint32_t)rva)
                                                             : NULL;
        name = name ? name : export_name(image, (uint32_t)rva);
        if (name)
            return name;
    }
    return NULL;
}

static json_t *instruction_json(const struct pe_image *image, uint32_t rva, const uint8_t *bytes,
                                uint32_t size, const ZydisDecoder *decoder,
                                const ZydisFormatter *formatter, uint32_t *length)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t address = image->h.image_base + rva;
    char text[128] = "(bad)", hex[2 * ZYDIS_MAX_INSTRUCTION_LENGTH + 1];
    bool ok = ZYAN_SUCCESS(reloc_zydis()->decode_full(decoder, bytes, size, &insn, operands));
    json_t *o = json_object(), *name = NULL;

    *length = ok ? insn.length : 1;
    for (uint32_t i = 0; i < *length; i++)
        sprintf(hex + 2 * i, "%02x", bytes[i]);
    if (ok) {
        reloc_zydis()->format_instruction(formatter, &insn, operands, insn.operand_count_visible,
                                          text, sizeof text, address, NULL);
        name = target_name(image, &insn, operands, address);
    }
    doc_set(o, "rva", doc_hex(rva));
    doc_set(o, "bytes", json_string(hex));
    doc_set(o, "text", json_string(text));
    if (name)
        doc_set(o, "target", name);
    return o;
}

static json_t *instructions_json(const struct pe_image *image, uint32_t rva, uint32_t count)
{
    json_t *array = json_array();
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    struct pe_span code;
    bool wide = image->h.pe32_plus;
    reloc_zydis()->decoder_init(
        &decoder, wide ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
        wide ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    reloc_zydis()->formatter_init(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    while (count-- && pe_rva_span(image, rva, ZYDIS_MAX_INSTRUCTION_LENGTH, &code)) {
        uint32_t length;
        json_t *label = export_name(image, rva);
        json_t *o = instruction_json(image, rva, code.data, (uint32_t)code.size, &decoder,
                                     &formatter, &length);
        if (label)
            doc_set(o, "label", label);
        json_array_append_new(array, o);
        rva += length;
    }
    return array;
}

static bool start_rva(const struct pe_image *image, const struct disasm_options *o, uint32_t *rva)
{
    struct pe_exports exports;
    struct pe_export export;
    if (o->has_rva) {
        *rva = o->rva;
        return true;
    }
    if (!o->export_name) {
        *rva = image->h.address_of_entry_point;
        return *rva != 0;
    }
    if (!pe_exports_open(image, &exports) ||
        !pe_export_by_name(&exports,
                           (struct pe_str){o->export_name, (uint32_t)strlen(o->export_name)}, 0,
                           &export))
        return false;
    *rva = export.rva;
    return !export.forwarder.ptr;
}

static json_t *disasm_json(const struct cli_file *file, void *own)
{
    const struct disasm_options *o = own;
    const struct pe_image *image = &file->image;
    json_t *doc = doc_new("disasm", file->path);
    uint32_t rva;

    doc_set(doc, "machine", json_string(pe_machine_name(image->h.machine)));
    if (image->h.machine != IMAGE_FILE_MACHINE_AMD64 && image->h.machine != IMAGE_FILE_MACHINE_I386)
        doc_set(doc, "error",
                doc_format("%s: only x86 code can be disassembled, not %s", file->path,
                           pe_machine_name(image->h.machine)));
    else if (reloc_zydis() == NULL)
        doc_set(doc, "error", json_string("the Zydis library (libZydis) is not installed"));
    else if (!start_rva(image, o, &rva))
        doc_set(doc, "error",
                doc_format(o->export_name ? "%s: there is no code exported as %s"
                                          : "%s: no entry point; name an export or an RVA",
                           file->path, o->export_name));
    else
        doc_set(doc, "instructions", instructions_json(image, rva, o->count));
    return doc;
}
#else
static json_t *disasm_json(const struct cli_file *file, void *own)
{
    json_t *doc = doc_new("disasm", file->path);
    doc_set(doc, "error", json_string("this peldr was built without Zydis (-Ddisasm=disabled)"));
    return doc;
}
#endif

static void disasm_print(json_t *doc)
{
    size_t i;
    const json_t *n;
    json_array_foreach(json_object_get(doc, "instructions"), i, n)
    {
        if (json_object_get(n, "label"))
            printf("\n%s%s:%s\n", cli_bold(), doc_get(n, "label"), cli_plain());
        printf("  %-10s %-24s %s", doc_get(n, "rva"), doc_get(n, "bytes"), doc_get(n, "text"));
        if (json_object_get(n, "target"))
            printf("  %s; %s%s", cli_dim(), doc_get(n, "target"), cli_plain());
        putchar('\n');
    }
}

int cmd_disasm(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc =
            "Disassembles x86 code of an image, at its preferred base, and names the imports and "
            "exports that the instructions refer to.\v"
            "Examples:\n  peldr disasm hello.exe\n"
            "  peldr disasm --export crc32 -n 20 zlib1.dll",
        .options = options,
        .option = parse_option,
        .min_args = 1,
        .max_args = 1};
    struct disasm_options o = {.count = 40};
    return doc_command(argc, argv, &spec, &o, disasm_json, disasm_print);
}
