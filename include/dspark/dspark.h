/* dspark inside a program of your own: language models on CPUs, exactly, with speculative decoding.

   An engine is a loaded model with a thread of its own, which answers all requests submitted to it
   side by side. Engines know nothing of one another; there is no state beside them.

   Threads: every function may be called from any thread at any time, but dspark_close() of an
   engine only when no other call with that engine is under way or follows. Callbacks are called on
   the engine's thread, so they should be quick; they may submit and cancel, but not close the
   engine, nor wait in dspark_generate() for it. Threads do not survive fork(): open engines behind
   it.

   Errors: a function that can fail returns a code; dspark_last_error() then says what happened, to
   the thread that called. No exception leaves the library, and none may leave a callback.

   Structs begin with struct_size. Set it to sizeof of the struct and the rest to zeros, and every
   field has its default; a program built against an older dspark.h goes on working with a newer
   library of the same ABI version. Texts are UTF-8. What a function takes is copied: it may go once
   the call returns. Pointers that callbacks get live until the callback returns. docs/embedding.md
   has examples. */
#ifndef DSPARK_DSPARK_H
#define DSPARK_DSPARK_H

#include <stddef.h>
#include <stdint.h>

/* Changes when programs built before would break; also the number in libdspark.so's SONAME. */
#define DSPARK_ABI_VERSION 1

#if defined(__GNUC__)
#define DSPARK_API __attribute__((visibility("default")))
#else
#define DSPARK_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dspark_engine dspark_engine;

typedef enum dspark_code {
  DSPARK_OK = 0,
  DSPARK_ERROR_ARGUMENT = 1, /* a null pointer, a struct_size that can't be, an unknown name */
  DSPARK_ERROR_LOAD = 2,     /* the model or drafter isn't there, or can't be used */
  DSPARK_ERROR_REQUEST = 3,  /* the prompt can't be encoded, the engine refused it, or it broke */
  DSPARK_ERROR_STATE = 4,    /* not now: the engine is closing, or this is its own thread */
  DSPARK_ERROR_MEMORY = 5,
  DSPARK_ERROR_INTERNAL = 6
} dspark_code;

/* DSPARK_ABI_VERSION of the library; a program should find its own. */
DSPARK_API uint32_t dspark_abi_version(void);
DSPARK_API const char* dspark_version(void); /* "0.1.0" */
/* What the last failure of a call on this thread was; empty before any. Lives until the next one.
 */
DSPARK_API const char* dspark_last_error(void);
/* Frees the arrays and texts that functions give. NULL is fine. */
DSPARK_API void dspark_free(void* pointer);

/* ---- Engines ---- */

typedef struct dspark_engine_options {
  size_t struct_size;
  const char*
      model; /* a GGUF file, a Hugging Face directory, or an installed name; NULL: the default */
  const char* drafter; /* a file, a directory or an installed name, "+ngram" behind it or not,
                          "ngram" or "none"; NULL: the one installed for a model that is given by
                          name, with "+ngram", else none */
  const char* planner; /* as in dspark run --planner; NULL: "auto" */
  const char* verify;  /* "greedy", "coupled", "rejection" or "block"; NULL: "coupled" */
  const char* isa;     /* "ref", "avx2", "avx512" or "auto"; NULL: "auto" */
  int32_t threads;     /* 0: one a CPU that the process may use */
  int32_t max_running; /* requests that run side by side, others wait; 0: 16 */
  int64_t context;     /* most tokens of a prompt with its answer; 0: the model's */
  int64_t cache_bytes; /* keys and values; 0: as needed, a quarter of the memory at most */
  int64_t
      prefix_bytes; /* of these, kept for prompts that begin alike; 0: 256 MiB; negative: none */
} dspark_engine_options;

/* Loads a model, which takes seconds. *engine is NULL unless it returns DSPARK_OK. */
DSPARK_API dspark_code dspark_open(const dspark_engine_options* options, dspark_engine** engine);
/* Cancels what runs, waits for the callbacks of it, and frees the engine. NULL is fine. An error
   only on the engine's own thread, and then nothing is done. */
DSPARK_API dspark_code dspark_close(dspark_engine* engine);

/* What the engine is, as a JSON object; lives as long as the engine. */
DSPARK_API const char* dspark_info(const dspark_engine* engine);
/* What it did so far and has to do, as a JSON object, for dspark_free(). Running requests count
   once they are finished. */
DSPARK_API dspark_code dspark_state(const dspark_engine* engine, char** json);

/* ---- Tokens and text ---- */

/* Nothing is put in front or behind. parse_special: the spelling of a control token becomes its id.
 */
DSPARK_API dspark_code dspark_tokenize(const dspark_engine* engine, const char* text, size_t bytes,
                                       int parse_special, int32_t** ids, size_t* count);
/* show_special: control tokens have their spelling, not nothing. *text is `bytes` long, and a zero
   follows. bytes may be NULL. */
DSPARK_API dspark_code dspark_detokenize(const dspark_engine* engine, const int32_t* ids,
                                         size_t count, int show_special, char** text,
                                         size_t* bytes);
/* chat, by the model's chat template: see dspark_request. */
DSPARK_API dspark_code dspark_render(const dspark_engine* engine, const char* chat, char** text,
                                     size_t* bytes);

/* ---- Requests ---- */

typedef struct dspark_logit_bias {
  int32_t id;
  float bias; /* added to its logit */
} dspark_logit_bias;

typedef struct dspark_request {
  size_t struct_size;
  /* The prompt is one of the three: text, chat, ids. */
  const char*
      text; /* one user message for the chat template, or, with raw, the text to go on with */
  size_t text_bytes; /* 0: up to the zero */
  int32_t raw;
  const char* chat; /* JSON: [{"role", "content"}, ...], or an object with "messages" and whatever
                       else the model's chat template reads */
  const int32_t* ids;
  size_t id_count;

  int32_t max_tokens;      /* 0: 512 */
  int32_t ignore_eos;      /* not 0: tokens that end an answer do not end it */
  const char* const* stop; /* texts that end it, which are no part of it */
  size_t stop_count;

  float temperature; /* 0: always the likeliest token */
  float top_p;       /* 0: 1, all */
  float min_p;
  float repeat_penalty; /* 0: 1, none */
  float presence_penalty;
  float frequency_penalty;
  int32_t top_k;    /* 0: all */
  int32_t no_draft; /* not 0: runs as without a drafter */
  uint64_t seed;    /* the same seed gives the same text */
  const dspark_logit_bias* logit_bias;
  size_t logit_bias_count;
  int32_t draft_max; /* most drafts of a cycle; 0: as many as the drafter makes */
} dspark_request;

/* News of a request. */
typedef struct dspark_delta {
  size_t struct_size;
  const int32_t* ids; /* tokens that were committed */
  size_t id_count;
  const char* text; /* whole characters, and a zero behind; never part of a stop text */
  size_t text_bytes;
} dspark_delta;

typedef enum dspark_finish {
  DSPARK_FINISH_STOP = 0,   /* a token or text that ends it */
  DSPARK_FINISH_LENGTH = 1, /* max_tokens, or the end of the context */
  DSPARK_FINISH_CANCELLED = 2,
  DSPARK_FINISH_ERROR = 3 /* it could not be run, or broke: see error */
} dspark_finish;

/* A step of the target behind the prompt: slots drafted, drafts verified, accepted of them. It
   commits accepted + 1 tokens, or accepted where an accepted token ended the answer. */
typedef struct dspark_cycle {
  int32_t drafted, verified, accepted;
} dspark_cycle;

typedef struct dspark_result {
  size_t struct_size;
  dspark_finish finish;
  const char* error;  /* empty unless finish is DSPARK_FINISH_ERROR */
  const int32_t* ids; /* all tokens, with the one that ended it */
  size_t id_count;
  const char* text; /* without that, and without a stop text */
  size_t text_bytes;
  const dspark_cycle* cycles;
  size_t cycle_count;
  int64_t prompt_tokens;
  int64_t cached_tokens;               /* of the prompt: found in the cache */
  int64_t drafted, verified, accepted; /* of all cycles */
  double prefill_ms;                   /* from its first row to its first token */
  double decode_ms;                    /* from the first token to the last */
} dspark_result;

typedef struct dspark_callbacks {
  size_t struct_size;
  void* user; /* given to both */
  /* After each step that brought something. Not 0: cancel; then only on_finished follows. May be
   * NULL. */
  int (*on_delta)(void* user, const dspark_delta* delta);
  /* Exactly once for each submitted request, and last of all. May be NULL. */
  void (*on_finished)(void* user, const dspark_result* result);
} dspark_callbacks;

/* Hands a request over and returns. *id, for dspark_cancel(), may be NULL; callbacks may come
   before it is set. On an error no callback comes. What only the engine can tell (parameters out of
   range, a prompt that is too long) ends as DSPARK_FINISH_ERROR. */
DSPARK_API dspark_code dspark_submit(dspark_engine* engine, const dspark_request* request,
                                     const dspark_callbacks* callbacks, uint64_t* id);
/* Finishes it as DSPARK_FINISH_CANCELLED before the next step; one that is finished stays as it is.
 */
DSPARK_API dspark_code dspark_cancel(dspark_engine* engine, uint64_t id);

/* Submits, waits, and gives the result, for dspark_result_free(). A request that ends as
   DSPARK_FINISH_ERROR gives DSPARK_ERROR_REQUEST and no result. */
DSPARK_API dspark_code dspark_generate(dspark_engine* engine, const dspark_request* request,
                                       dspark_result** result);
DSPARK_API void dspark_result_free(dspark_result* result);

#ifdef __cplusplus
}
#endif

#endif
