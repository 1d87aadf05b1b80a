"""Makes the example videos, or what the arguments ask for: python main.py [WORDS]"""

import asyncio
import sys

from video_agent import robust_video_generation, video_agent, video_tools


async def create_text_video(agent):
    return await agent.invoke_async(
        "Create an 8-second video of a golden retriever playing in a sunflower field during golden "
        "hour")


async def create_image_video(agent):
    return await agent.invoke_async(
        "Generate a video from the image at ./images/coffee_cup.jpg showing steam rising from hot "
        "coffee with soft morning lighting")


async def create_social_media_video(agent):
    return await agent.invoke_async("""
        Generate a vertical video for Instagram Stories showing:
        - A close-up of coffee being poured into a white ceramic mug
        - Steam rising from the hot coffee
        - Soft morning lighting
        - Use 9:16 aspect ratio for mobile
        - Avoid any text or logos in the video
        - Make it 6 seconds long
    """)


async def main(words):
    with video_tools() as tools:
        agent = video_agent(tools.list_tools_sync())
        if words:
            await robust_video_generation(agent, words)
            return
        for create in create_text_video, create_image_video, create_social_media_video:
            await create(agent)
            print()


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:])))
