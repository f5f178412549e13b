// Which answer is being written in a chat, where this tab has not asked for it: the chat's own events say it.

const WAIT_MS = 4000; // an answer in line begins to be written when its turn comes

/** The id of the run under way; null where none is, or none shows itself in time. */
export async function runUnderWay(api, chatId) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), WAIT_MS);
  try {
    const answer = await api.raw("GET", `/chats/${chatId}/events`, undefined, { signal: stop.signal });
    const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
      text += piece.value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = eventOf(block);
        if (event?.event_type === "agent.processing") return event.data.run_id;
        if (event?.event_type === "message.completed") return null;
      }
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  return null;
}

function eventOf(block) {
  const line = block.split("\n").find((one) => one.startsWith("data:"));
  return line ? JSON.parse(line.slice(5)) : null;
}
