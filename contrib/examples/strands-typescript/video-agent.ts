// An agent that makes videos: Strands Agents, with the tools that `veoctl mcp` offers.
import {setTimeout as sleep} from 'node:timers/promises';

import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {Agent, type AgentResult, McpClient} from '@strands-agents/sdk';
import {GoogleModel} from '@strands-agents/sdk/models/google';

// GEMINI_API_KEY is the key, GOOGLE_GEMINI_BASE_URL an address other than Google's.
const modelId = process.env.AGENT_MODEL ?? 'gemini-flash-latest';

const systemPrompt = `\
You are a video producer's assistant: you make videos with Google's video models.

What you can do:
- Generate a video from a description, or one that begins with an image file of the user's.
- Choose its shape (16:9 or 9:16), its resolution and its length, as far as the model takes them;
  list_models tells what each model takes and what a second costs.
- Leave out what is not wanted, by a negative prompt or in the prompt's own words.
- Check how an earlier video gets on, wait for it, list videos, cancel one, and tell what was spent.

When somebody wants a video:
1. If they name an image, begin with it; otherwise generate from text. Call the tool once for each
   video: each one costs money.
2. What they leave open, choose for the purpose, and say what you chose: 9:16 for stories, reels and
   phones, 16:9 for screens and presentations.
3. It takes from half a minute to several minutes. If a result says "processing", wait for it, and
   tell the user its operation name.
4. If it fails or is filtered, say why in plain words and suggest what may work instead: other words,
   another image, other settings, another model. Don't generate again before the user agrees.
5. End with the path of the file. Say that the video has sound, which the model makes by itself, and
   that the prompt may ask for voices, music and noises.

Good to know: Google deletes its copy after two days, the file on this server stays. Every video
carries an invisible SynthID watermark.`;

// MCP servers inherit next to nothing by themselves; veoctl wants to know where veod is.
function environment(): Record<string, string> {
  const {PATH = '', HOME = '', VEOD_SOCKET = '', XDG_RUNTIME_DIR = ''} = process.env;
  return {PATH, HOME, VEOD_SOCKET, XDG_RUNTIME_DIR};
}

// The tools of `veoctl mcp`. It runs as you: the videos are your jobs, as with veoctl.
export function videoTools(): McpClient {
  return new McpClient({
    transport: new StdioClientTransport({command: 'veoctl', args: ['mcp'], env: environment()}),
  });
}

export function videoAgent(tools: McpClient): Agent {
  return new Agent({model: new GoogleModel({modelId}), systemPrompt, tools: [tools]});
}

// Asks the agent, and again if its language model can't be reached. Videos need no such care: veod
// waits for rate limits, tries again what may be tried again, and never pays twice. That is why
// only the first attempt has the prompt: the others go on with the conversation, in which the
// videos that were made are known.
export async function robustVideoGeneration(
  agent: Agent, prompt: string, maxRetries = 3, baseDelay = 5000,
): Promise<AgentResult> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await agent.invoke(attempt === 0 ? prompt : []);
    } catch (error) {
      if (attempt === maxRetries - 1) {
        throw error;
      }
      const delay = baseDelay * 2 ** attempt;
      console.log(`The language model: ${error}. Asking again in ${delay / 1000} s.`);
      await sleep(delay);
    }
  }
}
