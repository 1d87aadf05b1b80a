// Makes the example videos, or what the arguments ask for: node main.ts [WORDS]
import {robustVideoGeneration, videoAgent, videoTools} from './video-agent.ts';

const examples = [
  'Create an 8-second video of a golden retriever playing in a sunflower field during golden hour',

  'Generate a video from the image at ./images/coffee_cup.jpg showing steam rising from hot ' +
    'coffee with soft morning lighting',

  `Generate a vertical video for Instagram Stories showing:
   - A close-up of coffee being poured into a white ceramic mug
   - Steam rising from the hot coffee
   - Soft morning lighting
   - Use 9:16 aspect ratio for mobile
   - Avoid any text or logos in the video
   - Make it 6 seconds long`,
];

const words = process.argv.slice(2).join(' ');
const tools = videoTools();
try {
  const agent = videoAgent(tools);
  for (const request of words ? [words] : examples) {
    await robustVideoGeneration(agent, request);
  }
} finally {
  await tools.disconnect();
}
