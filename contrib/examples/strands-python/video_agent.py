"""An agent that makes videos: Strands Agents, with the tools that `veoctl mcp` offers."""

import asyncio
import os

from mcp import StdioServerParameters, stdio_client
from strands import Agent
from strands.models.gemini import GeminiModel
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient

MODEL = os.environ.get("AGENT_MODEL", "gemini-flash-latest")

SYSTEM_PROMPT = """You are a video producer's assistant: you make videos with Google's video models.

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
carries an invisible SynthID watermark."""


def video_tools():
    """The tools of `veoctl mcp`. It runs as you: the videos are your jobs, as with veoctl."""
    where = ("VEOD_SOCKET", "XDG_RUNTIME_DIR")  # MCP servers inherit next to nothing by themselves
    server = StdioServerParameters(
        command="veoctl", args=["mcp"],
        env={name: os.environ[name] for name in where if name in os.environ})
    return MCPClient(lambda: stdio_client(server), progress_callback=show_progress)


async def show_progress(progress, total, message):
    print(f"  {message or progress}")


def language_model():
    """Through a LiteLLM proxy if OPENAI_BASE_URL names one; else Google's, with GEMINI_API_KEY."""
    if "OPENAI_BASE_URL" in os.environ:
        return OpenAIModel(model_id=MODEL)
    return GeminiModel(model_id=MODEL)


def video_agent(tools):
    return Agent(model=language_model(), system_prompt=SYSTEM_PROMPT, tools=tools)


async def robust_video_generation(agent, prompt, max_retries=3, base_delay=5.0):
    """Asks the agent, and again if its language model can't be reached.

    Videos need no such care: veod waits for rate limits, tries again what may be tried again, and
    never pays twice. That is why only the first attempt has the prompt: the others go on with the
    conversation, in which the videos that were made are known.
    """
    for attempt in range(max_retries):
        try:
            return await agent.invoke_async(prompt if attempt == 0 else None)
        except Exception as error:
            if attempt == max_retries - 1:
                raise
            delay = base_delay * 2 ** attempt
            print(f"The language model: {error}. Asking again in {delay:g} s.")
            await asyncio.sleep(delay)
