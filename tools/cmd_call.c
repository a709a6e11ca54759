/* peldr call: calls an export with typed arguments, through libffi with the image's convention. */
#include <errno.h>
#include <ffi.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/peldr.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/signature.h"

int cmd_call(int argc, char **argv);

/* One argument: what libffi passes, and the memory that it points to, if any. */
struct argument {
    union {
        uint64_t u;
        int64_t i;
        float f;
        double d;
        void *p;
    } value, pointee;
    void *memory; /* owned */
};

static ffi_type *ffi_of(const struct value_type *type)
{
    static ffi_type *const numbers[3][4] = {
        {&ffi_type_sint8, &ffi_type_sint16, &ffi_type_sint32, &ffi_type_sint64},
        {&ffi_type_uint8, &ffi_type_uint16, &ffi_type_uint32, &ffi_type_uint64},
        {NULL, NULL, &ffi_type_float, &ffi_type_double}};
    int log2 = type->size == 1 ? 0 : type->size == 2 ? 1 : type->size == 4 ? 2 : 3;
    if (type->by_address)
        return &ffi_type_pointer;
    switch (type->kind) {
    case VALUE_VOID:
        return &ffi_type_void;
    case VALUE_SIGNED:
        return numbers[0][log2];
    case VALUE_UNSIGNED:
        return numbers[1][log2];
    case VALUE_FLOAT:
        return numbers[2][log2];
    default:
        return &ffi_type_pointer;
    }
}

/* ---- arguments from text -----------------------------------------------------------------------
 */

static bool integer_from(const char *text, const struct value_type *type, int64_t *out)
{
    unsigned bits = type->size * 8u;
    char *end;
    errno = 0;
    if (type->kind == VALUE_SIGNED || *text == '-') {
        *out = strtoll(text, &end, 0);
        if (type->kind != VALUE_SIGNED ||
            (bits < 64 && (*out >> (bits - 1) != 0 && *out >> (bits - 1) != -1)))
            errno = ERANGE;
    } else {
        uint64_t value = strtoull(text, &end, 0);
        *out = (int64_t)value;
        if (bits < 64 && value >> bits)
            errno = ERANGE;
    }
    return !errno && end != text && !*end;
}

static bool number_from(const char *text, const struct value_type *type, void *out)
{
    int64_t integer;
    char *end;
    if (type->kind == VALUE_FLOAT) {
        double value = strtod(text, &end);
        float narrow = (float)value;
        memcpy(out, type->size == 4 ? (void *)&narrow : (void *)&value, type->size);
        return end != text && !*end;
    }
    if (!integer_from(text, type, &integer))
        return false;
    memcpy(out, &integer, sizeof integer); /* little-endian: the low bytes are the value */
    return true;
}

/* UTF-8 to UTF-16 by hand-checked sequences; ill-formed bytes become U+FFFD. */
static uint16_t *wide_from(const char *text)
{
    size_t length = strlen(text);
    uint16_t *out = calloc(length + 1, sizeof *out), *w = out;
    for (size_t i = 0; out && i < length;) {
        unsigned char c = (unsigned char)text[i];
        int more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : -1;
        uint32_t code = more <= 0 ? c : c & (0x3fu >> more);
        int k = 1;
        for (; k <= more && (text[i + (size_t)k] & 0xc0) == 0x80; k++)
            code = code << 6 | (text[i + (size_t)k] & 0x3f);
        if (more < 0 || k <= more || code > 0x10ffff)
            code = 0xfffd;
        i += (size_t)k;
        if (code >= 0x10000) {
            *w++ = (uint16_t)(0xd7c0 + (code >> 10));
            code = 0xdc00 | (code & 0x3ff);
        }
        *w++ = (uint16_t)code;
    }
    return out;
}

static void *bytes_from(const char *text)
{
    size_t length = strlen(text);
    uint8_t *out = length % 2 ? NULL : malloc(length / 2 + 1);
    for (size_t i = 0; out && i < length; i += 2) {
        char pair[3] = {text[i], text[i + 1], 0}, *end;
        out[i / 2] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2) {
            free(out);
            return NULL;
        }
    }
    return out;
}

static bool argument_from(const char *text, const struct value_type *type, struct argument *out)
{
    if (type->by_address) {
        out->value.p = &out->pointee;
        return number_from(text, type, &out->pointee);
    }
    switch (type->kind) {
    case VALUE_STR:
        out->memory = strdup(text);
        break;
    case VALUE_WSTR:
        out->memory = wide_from(text);
        break;
    case VALUE_HEX:
        out->memory = bytes_from(text);
        break;
    case VALUE_BUFFER:
        out->memory = calloc(1, type->capacity);
        break;
    default:
        if (type->kind == VALUE_POINTER && strcmp(text, "null") == 0)
            text = "0";
        return number_from(text, type, &out->value);
    }
    out->value.p = out->memory;
    return out->memory != NULL;
}

/* ---- results as JSON
 * ------------------------------------------------------------------------------- */

static json_t *wide_json(const uint16_t *text)
{
    uint32_t n = 0;
    json_t *value;
    char *narrow;
    while (text[n])
        n++;
    narrow = malloc(n + 1);
    if (!narrow)
        exit(cli_fail("not enough memory"));
    for (uint32_t i = 0; i < n; i++)
        narrow[i] = text[i] < 0x80 ? (char)text[i] : '?';
    value = doc_str((struct pe_str){narrow, n});
    free(narrow);
    return value;
}

static json_t *value_json(const struct value_type *type, const void *at)
{
    unsigned shift = 64 - type->size * 8u;
    uint64_t u = 0;
    float f;
    double d;
    memcpy(&u, at, type->size);
    switch (type->kind) {
    case VALUE_SIGNED:
        return json_integer((int64_t)(u << shift) >> shift);
    case VALUE_UNSIGNED:
        return type->size == 8 && u >> 63 ? doc_hex(u) : json_integer((json_int_t)u);
    case VALUE_FLOAT:
        memcpy(&f, at, sizeof f);
        memcpy(&d, at, type->size == 8 ? sizeof d : 0);
        return json_real(type->size == 4 ? (double)f : d);
    case VALUE_STR:
        return u ? doc_text((const char *)(uintptr_t)u) : json_null();
    case VALUE_WSTR:
        return u ? wide_json((const uint16_t *)(uintptr_t)u) : json_null();
    case VALUE_POINTER:
        return doc_hex(u);
    default:
        return json_null();
    }
}

static json_t *buffer_json(const struct value_type *type, const struct argument *argument)
{
    char *hex = malloc(2 * (size_t)type->capacity + 1);
    json_t *o = json_object();
    const uint8_t *bytes = argument->memory;
    if (!hex)
        exit(cli_fail("not enough memory"));
    for (uint32_t i = 0; i < type->capacity; i++)
        sprintf(hex + 2 * (size_t)i, "%02x", bytes[i]);
    doc_set(o, "hex", json_string(hex));
    doc_set(o, "text",
            doc_str((struct pe_str){argument->memory,
                                    (uint32_t)strnlen(argument->memory, type->capacity)}));
    free(hex);
    return o;
}

static json_t *outputs_json(const struct signature *s, const struct argument *args)
{
    json_t *array = json_array();
    for (int i = 0; i < s->count; i++) {
        json_t *o;
        if (!s->args[i].by_address && s->args[i].kind != VALUE_BUFFER)
            continue;
        if (s->args[i].by_address) {
            o = json_object();
            doc_set(o, "value", value_json(&s->args[i], &args[i].pointee));
        } else {
            o = buffer_json(&s->args[i], &args[i]);
        }
        doc_set(o, "argument", json_integer(i + 1));
        json_array_append_new(array, o);
    }
    return array;
}

/* ---- the call ----------------------------------------------------------------------------------
 */

static ffi_abi convention(const struct signature *s)
{
#if defined(__x86_64__)
    (void)s;
    return FFI_WIN64;
#else
    return s->is_stdcall ? FFI_STDCALL : FFI_MS_CDECL;
#endif
}

static bool call(const struct signature *s, void *function, struct argument *args, void *result)
{
    ffi_cif cif;
    ffi_type *types[SIGNATURE_MAX_ARGS];
    void *values[SIGNATURE_MAX_ARGS];
    for (int i = 0; i < s->count; i++) {
        types[i] = ffi_of(&s->args[i]);
        values[i] = &args[i].value;
    }
    if (ffi_prep_cif(&cif, convention(s), (unsigned)s->count, ffi_of(&s->result), types) != FFI_OK)
        return false;
    ffi_call(&cif, FFI_FN(function), result, values);
    return true;
}

/* What the guarded body needs of the call. */
struct attempt {
    const struct signature *signature;
    void *function;
    struct argument *args;
    void *result;
    bool possible;
};

static void attempt_call(void *user)
{
    struct attempt *attempt = user;
    attempt->possible = call(attempt->signature, attempt->function, attempt->args, attempt->result);
}

static json_t *exception_json(const struct peldr_exception *exception)
{
    json_t *o = json_object(), *parameters = json_array();
    doc_set(o, "code", doc_format("0x%08x", exception->code));
    doc_set(o, "name", doc_text(exception->name));
    doc_set(o, "address", doc_format("0x%" PRIx64, exception->address));
    doc_set(o, "where", doc_text(exception->where));
    for (uint32_t i = 0; i < exception->parameter_count; i++)
        json_array_append_new(parameters, doc_format("0x%" PRIx64, exception->parameters[i]));
    doc_set(o, "parameters", parameters);
    return o;
}

/* The call, guarded or not; false with the reason in the document. */
static bool call_into(json_t *doc, struct attempt *attempt, bool guard)
{
    struct peldr_exception exception;
    if (!guard) {
        attempt_call(attempt);
    } else if (peldr_call_guarded(attempt_call, attempt, &exception) == 1) {
        doc_set(doc, "exception", exception_json(&exception));
        doc_set(doc, "error",
                doc_format("exception %s 0x%08x at %s", exception.name, exception.code,
                           exception.where));
        return false;
    }
    if (!attempt->possible)
        doc_set(doc, "error", json_string("libffi cannot make this call"));
    return attempt->possible;
}

static json_t *call_json(const struct cli *cli, const struct signature *s, struct argument *args,
                         bool guard)
{
    json_t *doc = doc_new("call", cli->args[0]);
    uint64_t result[2] = {0}; /* libffi widens small results to a register */
    peldr_module *module = peldr_open(cli->args[0], 0);
    void *function = NULL;
    if (module)
        function =
            s->by_ordinal ? peldr_sym_ordinal(module, s->ordinal) : peldr_sym(module, s->name);
    if (!function) {
        doc_set(doc, "status", json_string(peldr_status_name(peldr_error_status())));
        doc_set(doc, "error", doc_text(peldr_error()));
    } else if (call_into(doc, &(struct attempt){s, function, args, result, false}, guard)) {
        doc_set(doc, "function", doc_text(s->name));
        doc_set(doc, "result", value_json(&s->result, result));
        doc_set(doc, "outputs", outputs_json(s, args));
    }
    if (module)
        peldr_close(module);
    return doc;
}

static void print_value(const json_t *value)
{
    json_int_t n = json_integer_value(value);
    if (json_is_integer(value) && n > 9)
        printf("%" JSON_INTEGER_FORMAT " (0x%" PRIx64 ")", n, (uint64_t)n);
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, n);
    else if (json_is_real(value))
        printf("%.17g", json_real_value(value));
    else if (json_is_string(value))
        printf("%s", json_string_value(value));
    else
        printf("void");
}

static void call_print(json_t *doc)
{
    size_t i;
    const json_t *o;
    if (json_object_get(doc, "error"))
        return;
    printf("%s = ", doc_get(doc, "function"));
    print_value(json_object_get(doc, "result"));
    putchar('\n');
    json_array_foreach(json_object_get(doc, "outputs"), i, o)
    {
        printf("  argument %" JSON_INTEGER_FORMAT ": ", doc_int(o, "argument"));
        if (json_object_get(o, "value"))
            print_value(json_object_get(o, "value"));
        else
            printf("%s \"%s\"", doc_get(o, "hex"), doc_get(o, "text"));
        putchar('\n');
    }
}

static bool read_arguments(const struct signature *s, const struct cli *cli, struct argument *args)
{
    int next = 2;
    if (signature_given(s) != cli->count - 2) {
        fprintf(stderr, "peldr call: %s takes %d argument%s, %d given\n", s->name,
                signature_given(s), signature_given(s) == 1 ? "" : "s", cli->count - 2);
        return false;
    }
    for (int i = 0; i < s->count; i++) {
        const char *text = s->args[i].kind == VALUE_BUFFER ? "" : cli->args[next++];
        if (!argument_from(text, &s->args[i], &args[i])) {
            fprintf(stderr, "peldr call: argument %d: \"%s\" does not fit its type\n", i + 1, text);
            return false;
        }
    }
    return true;
}

static const struct argp_option options[] = {
    {"guard", 'g', NULL, 0,
     "Take an exception that the image does not handle as the result: report it, exit with 1", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    bool *guard = own;
    if (key != 'g')
        return ARGP_ERR_UNKNOWN;
    *guard = true;
    return 0;
}

int cmd_call(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "DLL SIGNATURE [ARGUMENTS...]",
        .doc =
            "Loads a DLL, calls one of its exports and prints the result.\n\n"
            "SIGNATURE is RESULT NAME(TYPE, ...) or RESULT #ORDINAL(...); types: void i8 i16 i32 "
            "i64 u8 u16 u32 u64 f32 f64 ptr str wstr, hex (bytes passed by address), buf:N "
            "(zeroed buffer, printed afterwards, takes no argument), T* (address of a number, "
            "printed afterwards). PE32 functions are cdecl unless stdcall stands in front.\v"
            "Examples:\n  peldr call zlib1.dll 'u32 crc32(u32, str, u32)' 0 hello 5\n"
            "  peldr call zlib1.dll 'i32 compress(buf:64, u32*, str, u32)' 64 aaaaaaaa 8\n"
            "  peldr call user.dll 'stdcall u32 Add(u32, u32)' 2 3\n"
            "  peldr call --guard --json plugin.dll 'i32 run(str)' input",
        .options = options,
        .option = parse_option,
        .min_args = 2,
        .max_args = -1};
    struct cli cli;
    struct signature signature;
    struct argument args[SIGNATURE_MAX_ARGS] = {0};
    char why[256];
    int status = CLI_USAGE;
    bool guard = false;

    cli_parse(&spec, argc, argv, &cli, &guard);
    cli_hand_over(cli.args[0], &cli);
    if (!signature_parse(cli.args[1], &signature, why, sizeof why))
        fprintf(stderr, "peldr call: signature: %s\n", why);
    else if (read_arguments(&signature, &cli, args))
        status = doc_show(call_json(&cli, &signature, args, guard), cli.json, call_print);
    for (int i = 0; i < SIGNATURE_MAX_ARGS; i++)
        free(args[i].memory);
    return status;
}
